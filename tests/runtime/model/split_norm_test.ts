import { assertEquals } from "@std/assert";
import { addMatmul, squareParts } from "../../../runtime/model/linear.ts";
import type { SplitNorm } from "../../../runtime/model/parts.ts";
import { type ProductCut, productCut, squareBlock } from "../../../shaders/common/products.ts";
import {
  matmul,
  matmulGrid,
  matmulResidual,
  type MatmulShape,
  matmulSizes,
} from "../../../shaders/matmul/matmul.ts";
import { matmulNaive } from "../../../shaders/matmul/naive.ts";
import { rmsNormNaive } from "../../../shaders/rms_norm/naive.ts";
import { assertClose } from "../../assert_close.ts";
import { runKernel } from "../../gpu.ts";
import { pattern } from "../../pattern.ts";
import { newProgram, place, placeMatrix, read, run } from "../../placed.ts";
import { testMatrix } from "../../shaders/weights.ts";
import { defaultVariant, type ProductVariant } from "../../../shaders/common/variants.ts";
import { stepBuffers } from "../../step.ts";

const EPSILON = 1e-5;

/** h + W x, then V norm(h + W x), in plain loops. */
function naive(
  { h, x, w, weight, v }: Record<"h" | "x" | "w" | "weight" | "v", Float32Array>,
): { readonly h: Float64Array; readonly y: Float64Array } {
  const width = weight.length;
  const rows = h.length / width;
  const product = matmulNaive(x, w, x.length / rows);
  const sum = Float64Array.from(h, (value, i) => value + product[i]!);
  return { h: sum, y: matmulNaive(rmsNormNaive(sum, weight, width, EPSILON), v, width) };
}

Deno.test("addMatmul() into the residual stream and out of its norm match naive, however they are split", async () => {
  const [width, k, n] = [208, 48, 70];
  for (const rows of [1, 5, 16]) {
    const x = pattern(rows * k, 1);
    const h = pattern(rows * width, 2);
    const weight = pattern(width, 3);
    const into = placeMatrix("fp8", { n: width, k, splits: [128] }, 4);
    const out = placeMatrix("bf16", { n, k: width }, 5);
    const norm: SplitNorm = {
      weight: place(weight),
      scaled: place(rows * width),
      squares: place(
        new Float32Array(rows * squareParts({ width }, newProgram().kernels.variant)),
      ),
      width,
      epsilon: EPSILON,
    };
    const step = place(stepBuffers([{ rows }]).step);
    const [stream, y] = [place(h), place(rows * n)];
    for (const phase of ["decode", "prefill"] as const) {
      const program = newProgram();
      addMatmul(program, phase, { step, x: place(x), y: stream, next: norm }, into.matrix);
      addMatmul(program, phase, { step, x: norm.scaled, norm, y }, out.matrix);
      assertEquals(await run([program], { rows }), 3);
      if (phase === "prefill") continue;
      const want = naive({ h, x, w: into.dense, weight, v: out.dense });
      // f32 sums of up to 208 products, two deep.
      assertClose("h", await read(stream, h.length), want.h, 2e-6);
      assertClose("y", await read(y, rows * n), want.y, 4e-6);
    }
  }
});

/** One kernel for the residual stream, then one out of its norm, with any cut of a variant. */
async function chain(cut: ProductCut, variant: ProductVariant, rows: readonly number[]) {
  const [width, k, n] = [272, 32, 40];
  const block = squareBlock(variant);
  const parts = squareParts({ width }, variant);
  const into: MatmulShape = { format: "fp8", n: width, k, accumulate: true, nextParts: parts };
  const out: MatmulShape = { format: "fp8", n, k: width, norm: { parts, epsilon: EPSILON } };
  const [w, v] = [testMatrix("fp8", { n: width, k }, 6), testMatrix("fp8", { n, k: width }, 7)];
  const cutRows = (all: Float32Array, length: number) =>
    Float32Array.from(rows.flatMap((row) => [...all.subarray(row * length, (row + 1) * length)]));
  const x = cutRows(pattern(16 * k, 8), k);
  const h = cutRows(pattern(16 * width, 9), width);
  const weight = pattern(width, 10);
  const { step } = stepBuffers([{ rows: rows.length }]);
  const size = { rows: rows.length, segments: 1, headRows: 0, maxContext: 0 };
  const sizesOf = (shape: MatmulShape) => Uint32Array.from(matmulSizes(shape));
  const first = await runKernel(
    matmulResidual(into, cut, block),
    {
      ...{ step, codes: w.codes, scales: w.scales, x, y: h, sizes: sizesOf(into), squares: x },
      norm: weight,
      scaled: { out: rows.length * width },
      next_squares: new Float32Array(rows.length * parts),
    },
    matmulGrid(into, cut, size),
  );
  const { y } = await runKernel(
    matmul(out, cut),
    {
      ...{ step, codes: v.codes, scales: v.scales, x: first.scaled!, sizes: sizesOf(out) },
      squares: first.next_squares!,
      y: { out: rows.length * n },
    },
    matmulGrid(out, cut, size),
  );
  const want = naive({ h, x, w: w.dense, weight, v: v.dense });
  return { y: [...y!.subarray(0, rows.length * n)], want: [...want.y] };
}

Deno.test("a norm cut in two gives a row the same bits alone and among others, with the cuts of any device", async () => {
  const own = newProgram().kernels.variant;
  for (const variant of new Set([defaultVariant(true), defaultVariant(false), own])) {
    const all = [...Array(16).keys()];
    const tiles = variant.broadcast ? [2, 4, 16] as const : [4] as const;
    for (const tile of tiles) {
      const together = await chain(productCut(tile, variant), variant, all);
      assertClose("y", together.y, together.want, 4e-6);
      for (const row of [0, 7, 15]) {
        const alone = await chain(productCut(1, variant), variant, [row]);
        assertEquals(alone.y, together.y.slice(row * 40, (row + 1) * 40));
      }
    }
  }
});
