import { assert, assertEquals, assertThrows } from "@std/assert";
import { WeightsError } from "../../weights/errors.ts";
import { type ExpectedTensor, expectTensors } from "../../weights/expect.ts";
import { openSnapshot } from "../../weights/shards.ts";
import { type TensorToWrite, writeSnapshot } from "../../weights/writer.ts";
import { patternTensor, withFolder } from "./fixture.ts";

const EXPECTED = new Map<string, ExpectedTensor>([
  ["norm.weight", { shape: [4], dtypes: ["BF16", "F32"] }],
  ["q.weight", { shape: [129, 300], dtypes: ["BF16", "F8_E4M3"] }],
]);
const NORM = patternTensor("norm.weight", [4], { dtype: "F32" });
const CODES = patternTensor("q.weight", [129, 300], { dtype: "F8_E4M3" });
const SCALES = patternTensor("q.weight_scale_inv", [2, 3]);

/** The message of the refusal; "" if there was none. */
async function faultOf(
  tensors: TensorToWrite[],
  expected: ReadonlyMap<string, ExpectedTensor> = EXPECTED,
  prefixes: string[] = [],
): Promise<string> {
  let message = "";
  await withFolder((folder) => {
    writeSnapshot(folder, tensors);
    const snapshot = openSnapshot(folder);
    try {
      expectTensors(snapshot, expected, prefixes);
    } catch (error) {
      assert(error instanceof WeightsError);
      assert(error.message.includes(folder));
      message = error.message.replaceAll(folder, "DIR");
    } finally {
      snapshot.close();
    }
  });
  return message;
}

Deno.test("expectTensors() accepts FP8 with scales and BF16 without", async () => {
  assertEquals(await faultOf([NORM, CODES, SCALES]), "");
  assertEquals(await faultOf([NORM, patternTensor("q.weight", [129, 300])]), "");
});

Deno.test("expectTensors() names tensor, file, found and expected", async () => {
  assertEquals(
    await faultOf([patternTensor("norm.weight", [5]), CODES, SCALES]),
    'Cannot load "DIR": 1 tensor differs from its config: "norm.weight" is BF16 [5] in ' +
      '"DIR/model.safetensors", expected BF16 or F32 [4]',
  );
  const swapped = await faultOf([NORM, patternTensor("q.weight", [300, 129]), SCALES]);
  assert(swapped.includes("BF16 [300, 129]") && swapped.includes("[129, 300]"), swapped);
  const typed = await faultOf([NORM, patternTensor("q.weight", [129, 300], { dtype: "F16" })]);
  assert(typed.includes("F16 [129, 300]") && typed.includes("BF16 or F8_E4M3"), typed);
  assert(
    (await faultOf([NORM])).includes('"q.weight" is missing, expected BF16 or F8_E4M3 [129, 300]'),
  );
});

Deno.test("expectTensors() wants block scales for FP8 and for nothing else", async () => {
  const none = await faultOf([NORM, CODES]);
  assert(none.includes('"q.weight_scale_inv" is missing, expected BF16 [2, 3]'), none);
  const shape = await faultOf([NORM, CODES, patternTensor("q.weight_scale_inv", [3, 2])]);
  assert(shape.includes("BF16 [3, 2]") && shape.includes("expected BF16 [2, 3]"), shape);
  const dtype = await faultOf([
    NORM,
    CODES,
    patternTensor("q.weight_scale_inv", [2, 3], { dtype: "F32" }),
  ]);
  assert(dtype.includes("F32 [2, 3]") && dtype.includes("expected BF16 [2, 3]"), dtype);
  const plain = await faultOf([NORM, patternTensor("q.weight", [129, 300]), SCALES]);
  assert(plain.includes("expected F8_E4M3 or no scales"), plain);
});

Deno.test("expectTensors() reports scales once where the caller lists them", async () => {
  const listed = new Map(EXPECTED).set("q.weight_scale_inv", { shape: [2, 3], dtypes: ["BF16"] });
  assertEquals(await faultOf([NORM, CODES, SCALES], listed), "");
  const message = await faultOf([NORM, CODES], listed);
  assert(message.includes("1 tensor differs"), message);
});

Deno.test("expectTensors() allows further tensors under the prefixes only", async () => {
  const all = [
    NORM,
    CODES,
    SCALES,
    patternTensor("mtp.x", [1]),
    patternTensor("model.visual.y", [1]),
  ];
  assertEquals(await faultOf(all, EXPECTED, ["mtp.", "model.visual."]), "");
  const message = await faultOf(all, EXPECTED, ["mtp."]);
  assert(
    message.includes('1 tensor differs from its config: "model.visual.y" is not expected'),
    message,
  );
  const scales = await faultOf([...all, patternTensor("norm.weight_scale_inv", [1])], EXPECTED, [
    "m",
  ]);
  assert(scales.includes('"norm.weight" is F32 and has'), scales);
});

Deno.test("expectTensors() lists the first ten of many faults and counts the rest", async () => {
  const names = Array.from({ length: 23 }, (_, i) => `t.${i}`);
  const expected = new Map(names.map((name) => [name, { shape: [1], dtypes: ["BF16"] as const }]));
  const message = await faultOf([patternTensor("t.0", [1])], expected);
  assert(message.includes("22 tensors differ"), message);
  assert(message.includes('"t.10" is missing') && !message.includes('"t.11" is'), message);
  assert(message.endsWith("; and 12 more"), message);
});

Deno.test("writeSnapshot() refuses a name given twice", () =>
  withFolder((folder) => {
    assertThrows(() => writeSnapshot(folder, [NORM, NORM]), RangeError, '"norm.weight"');
  }));
