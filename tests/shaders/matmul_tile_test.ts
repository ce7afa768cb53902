import { assertEquals } from "@std/assert";
import { STEP } from "../../shaders/common/step.ts";
import { type TileCut, tileCut } from "../../shaders/common/tile.ts";
import { type MatmulShape, matmulSizes } from "../../shaders/matmul/matmul.ts";
import { matmulTile, matmulTileGrid } from "../../shaders/matmul/matmul_tile.ts";
import { matmulNaive } from "../../shaders/matmul/naive.ts";
import { assertClose } from "../assert_close.ts";
import { runKernel, sharingWays } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";
import { testMatrix } from "./weights.ts";

/** The cuts for a CPU that runs shaders and for a GPU. */
const CUTS = (await sharingWays()).toReversed().map((broadcast) =>
  tileCut({ software: broadcast, subgroupSize: 8 })
);

async function run(
  cut: TileCut,
  shape: MatmulShape,
  x: Float32Array<ArrayBuffer>,
): Promise<Float32Array<ArrayBuffer>> {
  const rows = x.length / shape.k;
  const { codes, scales } = testMatrix(shape.format, shape, 3);
  const { step } = stepBuffers([{ rows }]);
  const sizes = Uint32Array.from(matmulSizes(shape));
  const { y } = await runKernel(
    matmulTile(shape, cut),
    { step, codes, scales, x, y: { out: rows * shape.n }, sizes },
    matmulTileGrid(shape, cut, { rows, segments: 1, headRows: 0, maxContext: 0 }),
  );
  return y!.subarray(0, rows * shape.n);
}

const SIZES: readonly (readonly [rows: number, n: number, k: number])[] = [
  [1, 1, 16],
  [15, 7, 48],
  [16, 128, 144],
  [17, 129, 208],
  [33, 257, 128],
  [31, 513, 272],
  [64, 64, 64],
  [2, 24, 4096],
  [18, 2050, 32],
];

for (const format of ["fp8", "bf16"] as const) {
  // How x is shared has nothing to do with the format.
  for (const cut of format === "fp8" ? CUTS : CUTS.slice(0, 1)) {
    Deno.test(`matmulTile() matches naive for ${format}, ${JSON.stringify(cut)}`, async () => {
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

Deno.test("matmulTile() gives a row the same bits wherever it stands, with any cut", async () => {
  const shape = { format: "fp8", n: 70, k: 272 } as const;
  const x = pattern(40 * shape.k, 5);
  const all = await run(CUTS[0]!, shape, x);
  for (const cut of CUTS) {
    for (const [first, rows] of [[0, 40], [3, 1], [7, 20], [23, 17]] as const) {
      const part = await run(cut, shape, x.slice(first * shape.k, (first + rows) * shape.k));
      assertEquals(
        [...part],
        [...all.subarray(first * shape.n, (first + rows) * shape.n)],
        `${rows} rows from ${first}, ${JSON.stringify(cut)}`,
      );
    }
  }
});

Deno.test("matmulTile() reads and writes columns of wider buffers, accumulates, and knows scale rows", async () => {
  const [rows, n, k] = [19, 36, 144];
  const [cpu] = CUTS;
  // Whole quads of y, and others.
  for (
    const [scaleRows, offset, cuts] of [[32, 8, [cpu!]], [4, 7, [cpu!]], [1, 12, CUTS]] as const
  ) {
    const strides = { xStride: 160, xOffset: 8, yStride: 52, yOffset: offset };
    const shape: MatmulShape = { format: "fp8", n, k, scaleRows, ...strides, accumulate: true };
    const { codes, scales, dense } = testMatrix("fp8", { n, k, scaleRows }, 4);
    const wide = pattern((rows + 2) * 160, 6);
    const before = pattern((rows + 2) * 52, 7);
    const x = Float32Array.from(
      { length: rows * k },
      (_, i) => wide[Math.floor(i / k) * 160 + 8 + i % k]!,
    );
    const product = matmulNaive(x, dense, k);
    const want = Float64Array.from(before, (value, i) => {
      const column = i % 52 - offset;
      const row = Math.floor(i / 52);
      const inside = row < rows && column >= 0 && column < n;
      return inside ? value + product[row * n + column]! : value;
    });
    const { step } = stepBuffers([{ rows }]);
    for (const cut of cuts) {
      const { y } = await runKernel(
        matmulTile(shape, cut),
        {
          ...{ step, codes, scales, x: wide, y: before },
          sizes: Uint32Array.from(matmulSizes(shape)),
        },
        [4, 3, 1],
      );
      const name = `scales of ${scaleRows} rows, ${JSON.stringify(cut)}`;
      assertClose(name, y!.subarray(0, want.length), want, 1e-6);
    }
  }
});

Deno.test("matmulTile() leaves a stopped step alone", async () => {
  const shape: MatmulShape = { format: "fp8", n: 4, k: 16 };
  const { codes, scales } = testMatrix("fp8", shape);
  const { step } = stepBuffers([{ rows: 1 }]);
  step[STEP.stopped] = 1;
  const sizes = Uint32Array.from(matmulSizes(shape));
  for (const cut of CUTS) {
    const { y } = await runKernel(
      matmulTile(shape, cut),
      { step, codes, scales, x: pattern(16), y: { out: 4 }, sizes },
      [1, 1, 1],
    );
    assertEquals([...y!].map(Number.isNaN), [true, true, true, true]);
  }
});

Deno.test("tileCut() lets threads tell each other x on a CPU only, if its subgroups are of 8", () => {
  const broadcasts = ([software, subgroupSize]: readonly [boolean, number]) =>
    tileCut({ software, subgroupSize }).broadcast;
  assertEquals(
    ([[true, 8], [true, 16], [true, 4], [true, 0], [false, 32]] as const).map(broadcasts),
    [true, true, false, false, false],
  );
});
