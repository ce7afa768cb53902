import { assert, assertEquals, assertThrows } from "@std/assert";
import { bf16ToNumber, dequantizeBf16, numberToBf16 } from "../../shaders/common/bf16.ts";
import { quantizeNaive } from "../../shaders/quantize/naive.ts";
import {
  INT8_SCALE_ROWS,
  int8ScaleCount,
  QUANTIZE,
  quantizeGrid,
  type QuantizeShape,
  quantizeSizes,
} from "../../shaders/quantize/quantize.ts";
import { runKernel } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import { words } from "./weights.ts";

async function quantize(halves: Uint16Array<ArrayBuffer>, shape: QuantizeShape) {
  const { codes, scales } = await runKernel(QUANTIZE, {
    weights: words(halves),
    codes: { out: Math.ceil(shape.rows * shape.k / 4) },
    scales: { out: Math.ceil(int8ScaleCount(shape) / 2) },
    sizes: Uint32Array.from(quantizeSizes(shape)),
  }, quantizeGrid(shape));
  return {
    codes: new Int8Array(codes!.buffer).subarray(0, shape.rows * shape.k),
    scales: new Uint16Array(scales!.buffer).subarray(0, int8ScaleCount(shape)),
  };
}

for (const [rows, k] of [[1, 16], [8, 128], [9, 144], [300, 272], [64, 2048]] as const) {
  Deno.test(`quantize() rounds [${rows}, ${k}] as plain loops do`, async () => {
    const halves = Uint16Array.from(
      pattern(rows * k, 5),
      (value, i) => numberToBf16(value * 2 ** -(Math.floor(i / k / INT8_SCALE_ROWS) % 9)),
    );
    const values = dequantizeBf16(halves);
    const { codes, scales } = await quantize(halves, { rows, k });
    const expected = quantizeNaive(values, { rows, k });
    assertEquals(scales, expected.scales);
    const worst = codes.reduce((worst, code, i) => {
      const row = Math.floor(i / k / INT8_SCALE_ROWS) * Math.ceil(k / 128);
      const scale = bf16ToNumber(scales[row + (i % k >> 7)]!);
      return Math.max(worst, Math.abs(code * scale - values[i]!) / scale);
    }, 0);
    // Half a step, and what multiplying by the inverse may round otherwise.
    assert(worst <= 0.5 + 1e-4, `a weight is ${worst} steps from its code`);
    assert(codes.some((code) => Math.abs(code) > 125), "no block uses its range");
  });
}

Deno.test("quantize() makes zeros of a block of zeros", async () => {
  const { codes, scales } = await quantize(new Uint16Array(8 * 128), { rows: 8, k: 128 });
  assertEquals([codes.every((code) => code === 0), [...scales]], [true, [0]]);
});

Deno.test("quantizeSizes() refuses rows that are no whole units", () => {
  assertThrows(() => quantizeSizes({ rows: 1, k: 24 }), RangeError, "multiple of 16");
});
