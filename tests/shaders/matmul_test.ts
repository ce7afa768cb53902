import { assertEquals, assertThrows } from "@std/assert";
import {
  cutConstants,
  type ProductCut,
  productCut,
  type TileRows,
} from "../../shaders/common/products.ts";
import { matmul, matmulGrid, type MatmulShape, matmulSizes } from "../../shaders/matmul/matmul.ts";
import { matmulNaive } from "../../shaders/matmul/naive.ts";
import { INT8_SCALE_ROWS } from "../../shaders/quantize/quantize.ts";
import { STEP } from "../../shaders/common/step.ts";
import { defaultVariant } from "../../shaders/common/variants.ts";
import { assertClose } from "../assert_close.ts";
import { gpu, runKernel } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";
import { testMatrix } from "./weights.ts";

const { device, software, subgroups } = await gpu();
const subgroupSize = subgroups ? device.adapterInfo.subgroupMinSize : 0;

/** The cuts for a GPU, and for CPUs with and without large subgroups, for any number of few rows. */
const CUTS: readonly ProductCut[] = [
  ...[1, 4].map((tile) => [tile, defaultVariant(false)] as const),
  ...[1, 4, 8].map((tile) => [tile, defaultVariant(true)] as const),
  ...(software && subgroupSize >= 8 ? [1, 2, 4, 8, 16] : []).map((tile) =>
    [tile, defaultVariant({ software, subgroupSize })] as const
  ),
].map(([tile, variant]) => productCut(tile as TileRows, variant));

const nameOf = (cut: ProductCut) =>
  cut.broadcast ? `broadcasts to ${cut.tile}` : JSON.stringify(cutConstants(cut));

async function run(
  cut: ProductCut,
  shape: MatmulShape,
  x: Float32Array<ArrayBuffer>,
): Promise<Float32Array<ArrayBuffer>> {
  const rows = x.length / shape.k;
  const { codes, scales } = testMatrix(shape.format, shape, 3);
  const { step } = stepBuffers([{ rows }]);
  const { y } = await runKernel(
    matmul(shape, cut),
    { step, codes, scales, x, y: { out: rows * shape.n }, sizes: sizesOf(shape), squares: x },
    matmulGrid(shape, cut, { rows, segments: 1, headRows: 0, maxContext: 0 }),
  );
  return y!.subarray(0, rows * shape.n);
}

function sizesOf(shape: MatmulShape): Uint32Array<ArrayBuffer> {
  return Uint32Array.from(matmulSizes(shape));
}

const SIZES: readonly (readonly [rows: number, n: number, k: number])[] = [
  [1, 1, 16],
  [3, 5, 48],
  [2, 64, 144],
  [5, 257, 208],
  [4, 130, 128],
  [33, 65, 272],
  [31, 63, 256],
  [64, 64, 64],
  [1, 40, 2048],
  [2, 24, 4096],
  [2, 2050, 32],
  [1, 8200, 16],
];

for (const format of ["fp8", "bf16"] as const) {
  for (const cut of CUTS) {
    Deno.test(`matmul() matches naive for ${format}, ${nameOf(cut)}`, async () => {
      for (const [rows, n, k] of SIZES) {
        const x = pattern(rows * k, 2);
        const { dense } = testMatrix(format, { n, k }, 3);
        const y = await run(cut, { format, n, k }, x);
        // f32 sums of up to 4,096 products.
        assertClose(`${rows} x ${n} x ${k}`, y, matmulNaive(x, dense, k), 2e-6);
      }
    });
  }
}

for (const cut of CUTS) {
  Deno.test(`matmul() matches naive for int8, ${nameOf(cut)}`, async () => {
    for (const [rows, n, k] of SIZES) {
      const x = pattern(rows * k, 2);
      const { dense } = testMatrix("int8", { n, k }, 3);
      const y = await run(cut, { format: "int8", n, k, scaleRows: INT8_SCALE_ROWS }, x);
      assertClose(`${rows} x ${n} x ${k}`, y, matmulNaive(x, dense, k), 2e-6);
    }
  });
}

Deno.test("matmul() gives a row the same bits alone and among others", async () => {
  for (const [format, n, k] of [["fp8", 70, 272], ["bf16", 257, 208]] as const) {
    const x = pattern(16 * k, 5);
    for (const { tile, ...rest } of CUTS.filter(({ tile }) => tile === 1)) {
      const alone: number[] = [];
      for (let row = 0; row < 16; row++) {
        const one = x.slice(row * k, (row + 1) * k);
        alone.push(...await run({ tile, ...rest }, { format, n, k }, one));
      }
      for (const cut of CUTS) {
        if (cut.lanes !== rest.lanes || cut.broadcast !== rest.broadcast) continue;
        for (const rows of [2, 3, 7, 16]) {
          const y = await run(cut, { format, n, k }, x.slice(0, rows * k));
          assertEquals([...y], alone.slice(0, rows * n), `${rows} rows, ${nameOf(cut)}`);
        }
      }
    }
  }
});

Deno.test("matmul() reads and writes columns of wider buffers, accumulates, and knows scale rows", async () => {
  const [rows, n, k] = [3, 37, 144];
  for (const scaleRows of [32, 8, 1]) {
    const shape: MatmulShape = {
      format: "fp8",
      n,
      k,
      scaleRows,
      xStride: 160,
      xOffset: 8,
      yStride: 50,
      yOffset: 7,
      accumulate: true,
      head: true,
    };
    const { codes, scales, dense } = testMatrix("fp8", { n, k, scaleRows }, 4);
    const wide = pattern((rows + 2) * 160, 6);
    const before = pattern((rows + 2) * 50, 7);
    const x = Float32Array.from(
      { length: rows * k },
      (_, i) => wide[Math.floor(i / k) * 160 + 8 + i % k]!,
    );
    const product = matmulNaive(x, dense, k);
    const want = Float64Array.from(before, (value, i) => {
      const column = i % 50 - 7;
      const row = Math.floor(i / 50);
      const inside = row < rows && column >= 0 && column < n;
      return inside ? value + product[row * n + column]! : value;
    });
    // Only the head's rows count: the step has more.
    const step = stepBuffers([{ rows: 1 }, { rows: 2 }, { rows: 4 }]).step;
    for (const cut of CUTS.filter(({ tile }) => tile !== 8)) {
      const { y } = await runKernel(
        matmul(shape, cut),
        { step, codes, scales, x: wide, y: before, sizes: sizesOf(shape), squares: wide },
        [10, 10, 1],
      );
      assertClose(nameOf(cut), y!.subarray(0, want.length), want, 1e-6);
    }
  }
});

Deno.test("matmul() leaves a stopped step alone", async () => {
  const shape: MatmulShape = { format: "fp8", n: 4, k: 16 };
  const { codes, scales } = testMatrix("fp8", shape);
  const { step } = stepBuffers([{ rows: 1 }]);
  step[STEP.stopped] = 1;
  for (const cut of CUTS) {
    const { y } = await runKernel(
      matmul(shape, cut),
      {
        ...{ step, codes, scales, x: pattern(16), y: { out: 4 }, sizes: sizesOf(shape) },
        squares: pattern(4),
      },
      [1, 1, 1],
    );
    assertEquals([...y!].map(Number.isNaN), [true, true, true, true]);
  }
});

Deno.test("matmulSizes() refuses sizes and strides that the kernel cannot read", () => {
  assertThrows(() => matmulSizes({ format: "fp8", n: 4, k: 24 }), RangeError, "[4, 24]");
  assertThrows(() => matmulSizes({ format: "fp8", n: 4, k: 16, xOffset: 2 }), RangeError, "at 2");
  const odd: MatmulShape = { format: "fp8", n: 4, k: 16, scaleRows: 96 };
  assertThrows(() => matmulSizes(odd), RangeError, "96 rows");
});
