import { assertEquals } from "@std/assert";
import { bf16ToNumber, numberToBf16 } from "../../shaders/common/bf16.ts";
import { fp8ToNumber } from "../../shaders/common/fp8.ts";
import { type FormatName, FORMATS } from "../../shaders/common/formats.ts";
import { runKernel } from "../gpu.ts";
import { hash } from "../pattern.ts";
import { words } from "./weights.ts";

/** Writes the 16 weights of each unit, times the scale at the unit's index. */
const DECODE = `
@group(0) @binding(0) var<storage, read> codes: array<Codes>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<Unit>;
@compute @workgroup_size(1)
fn main(@builtin(workgroup_id) group: vec3<u32>) {
  let scale = scale_value(scales[group.x / 2u], group.x);
  let unit = decode(codes[group.x]);
  y[group.x] = Unit(unit.a * scale, unit.b * scale, unit.c * scale, unit.d * scale);
}`;

async function decode(
  format: FormatName,
  codes: Uint32Array<ArrayBuffer>,
  scales: Uint32Array<ArrayBuffer>,
): Promise<Float32Array> {
  const units = codes.byteLength / FORMATS[format].unitBytes;
  const { y } = await runKernel(
    {
      name: `decode_${format}`,
      source: FORMATS[format].snippet + DECODE,
      bindings: { codes: "read", scales: "read", y: "read_write" },
      constants: {},
    },
    { codes, scales, y: { out: units * 16 } },
    [units, 1, 1],
  );
  return y!;
}

Deno.test("fp8ToNumber() has the check values of e4m3fn", () => {
  const known: [number, number][] = [
    [0x00, 0],
    [0x01, 0.001953125],
    [0x07, 0.013671875],
    [0x08, 0.015625],
    [0x38, 1],
    [0x3c, 1.5],
    [0x40, 2],
    [0x77, 240],
    [0x7e, 448],
    [0x81, -0.001953125],
    [0x7f, NaN],
    [0xff, NaN],
  ];
  for (const [code, value] of known) assertEquals(fp8ToNumber(code), value, code.toString(16));
});

Deno.test("the FP8 snippet decodes all 254 finite codes exactly, and NaN codes to 480", async () => {
  const codes = Uint8Array.from({ length: 256 }, (_, i) => i);
  const ones = new Uint16Array(16).fill(0x3f80);
  const got = await decode("fp8", words(codes), words(ones));
  for (let code = 0; code < 256; code++) {
    const value = fp8ToNumber(code);
    assertEquals(got[code]! + 0, Number.isNaN(value) ? (code & 0x80 ? -480 : 480) : value + 0);
  }
});

Deno.test("the FP8 snippet takes the scale at an even or odd index", async () => {
  const codes = new Uint8Array(3 * 16).fill(0x38);
  const got = await decode("fp8", words(codes), words(Uint16Array.of(0x3f80, 0x4000, 0xbc23)));
  assertEquals([got[0], got[16], got[32]], [1, 2, bf16ToNumber(0xbc23)]);
});

Deno.test("the BF16 snippet decodes halves exactly", async () => {
  const halves = Uint16Array.from({ length: 16 * 40 }, (_, i) => {
    const half = hash(i, 9) & 0xffff;
    return (half & 0x7f80) === 0x7f80 || (half & 0x7f80) === 0 ? i : half;
  });
  halves.set([0x0000, 0x3f80, 0xbf80, 0x7f7f, 0x0080]);
  for (let i = 5; i < halves.length; i++) if ((halves[i]! & 0x7f80) === 0) halves[i] = 0x4049;
  const got = await decode("bf16", words(halves), new Uint32Array(32));
  assertEquals([...got], [...halves].map(bf16ToNumber));
});

Deno.test("numberToBf16() rounds to nearest, ties to even, and keeps NaN", () => {
  assertEquals(numberToBf16(1), 0x3f80);
  assertEquals(numberToBf16(1 + 2 ** -8), 0x3f80);
  assertEquals(numberToBf16(1 + 3 * 2 ** -8), 0x3f82);
  assertEquals(numberToBf16(1 + 2 ** -8 + 2 ** -16), 0x3f81);
  assertEquals(numberToBf16(-2.5), 0xc020);
  assertEquals(Number.isNaN(bf16ToNumber(numberToBf16(NaN))), true);
});

Deno.test("the int8 snippet decodes every code exactly", async () => {
  const codes = Int8Array.from({ length: 256 }, (_, i) => i - 128);
  const scales = Uint16Array.from({ length: 16 }, (_, i) => numberToBf16(0.25 + i));
  const y = await decode("int8", words(codes), words(scales));
  assertEquals([...y], [...codes].map((code, i) => code * bf16ToNumber(scales[i >> 4]!)));
});
