import { assertEquals, assertThrows } from "@std/assert";
import { STEP } from "../../shaders/common/step.ts";
import { moeCombine, moeCombineGrid } from "../../shaders/moe_combine/moe_combine.ts";
import { moeCombineNaive } from "../../shaders/moe_combine/naive.ts";
import { assertClose } from "../assert_close.ts";
import { runKernel } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";

async function combine(rows: number, hidden: number, topK: number, stopped = 0) {
  const ranks = topK + 1;
  const { step } = stepBuffers([{ rows }]);
  step[STEP.stopped] = stopped;
  const h = pattern(rows * hidden, 1);
  const outputs = pattern(rows * ranks * hidden, 2);
  const weights = pattern(rows * ranks, 3);
  /** Of the `width` elements of each rank, those of the routed experts or those of the shared one. */
  const part = (from: ArrayLike<number>, width: number, isShared: boolean) =>
    Array.from(from).filter((_, i) => (Math.floor(i / width) % ranks === topK) === isShared);
  const want = moeCombineNaive(h, {
    routed: part(outputs, hidden, false),
    weights: part(weights, 1, false),
    shared: part(outputs, hidden, true),
    sharedGate: part(weights, 1, true),
  }, { hidden, topK });
  const got = await runKernel(
    moeCombine({ hidden, ranks }),
    { step, outputs, weights, h },
    moeCombineGrid({ hidden, ranks }, { rows: rows + 1, segments: 1, headRows: 0, maxContext: 0 }),
  );
  return { h, got: got.h!, want };
}

for (
  const [rows, hidden, topK] of [[1, 4, 1], [3, 60, 5], [2, 256, 2], [5, 260, 8], [1, 2048, 10]]
    .map((sizes) => sizes as [number, number, number])
) {
  Deno.test(`moeCombine() matches naive for ${rows} x ${hidden}, top ${topK}`, async () => {
    const { got, want } = await combine(rows, hidden, topK);
    // f32 sums of up to 12 products.
    assertClose("h", got, want, 2e-7);
  });
}

Deno.test("moeCombine() leaves a stopped step alone", async () => {
  const { h, got } = await combine(2, 64, 2, 9);
  assertEquals([...got], [...h]);
});

Deno.test("moeCombine() refuses rows that are no multiple of 4", () => {
  assertThrows(() => moeCombine({ hidden: 6, ranks: 1 }), RangeError, "rows of 6");
});
