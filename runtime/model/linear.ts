/** Adds the product of a placed matrix to a program. @module */
import {
  productCut,
  squareBlock,
  TILE_ROWS_OF_FEW,
  tileOf,
} from "../../shaders/common/products.ts";
import type { ProductVariant } from "../../shaders/common/variants.ts";
import { ceilDiv, type StepShape } from "../../shaders/kernel_spec.ts";
import {
  matmul,
  matmulGrid,
  matmulResidual,
  type MatmulShape,
  matmulSizes,
} from "../../shaders/matmul/matmul.ts";
import { matmulTile, matmulTileGrid } from "../../shaders/matmul/matmul_tile.ts";
import { tileCut } from "../../shaders/common/tile.ts";
import type { Program } from "../gpu/program.ts";
import { DECODE_ROWS, type Matrix, type Phase, type SplitNorm } from "./parts.ts";

/** Where a product reads and writes: f32 rows, strides and offsets in elements. */
export interface MatmulIo {
  readonly step: GPUBuffer;
  readonly x: GPUBuffer;
  readonly y: GPUBuffer;
  /** The matrix's k unless said. */
  readonly xStride?: number;
  readonly xOffset?: number;
  /** The matrix's n unless said. */
  readonly yStride?: number;
  readonly yOffset?: number;
  /** Add to y instead of replacing it. */
  readonly accumulate?: boolean;
  /** Rows are `step.head_rows` instead of `step.rows`. */
  readonly head?: boolean;
  /** x is this norm's `scaled`. */
  readonly norm?: SplitNorm | null;
  /** y is the residual stream, that of this norm; implies `accumulate`. */
  readonly next?: SplitNorm;
  /** Steps of fewer rows are left alone; 1 unless said. */
  readonly fewestRows?: number;
}

/**
 * Adds `y[row] (+)= W x[row]` for all slices of `matrix`. In up to 16 rows each has the same bits whatever its
 * neighbours; "prefill" programs have a kernel for more, too, which norms nothing. One dispatch a slice.
 */
export function addMatmul(program: Program, phase: Phase, io: MatmulIo, matrix: Matrix): void {
  const { step, x, y, fewestRows = 1 } = io;
  for (const { firstRow, rows, codes, scales } of matrix.slices) {
    const shape: MatmulShape = {
      format: matrix.format,
      n: rows,
      k: matrix.k,
      scaleRows: matrix.scaleRows,
      xStride: io.xStride ?? matrix.k,
      xOffset: io.xOffset ?? 0,
      yStride: io.yStride ?? matrix.n,
      yOffset: (io.yOffset ?? 0) + firstRow,
      accumulate: io.accumulate ?? io.next !== undefined,
      head: io.head ?? false,
    };
    if (phase === "prefill") {
      addMany(program, { step, codes, scales: scales ?? codes, x, y }, shape);
    }
    const { variant } = program.kernels;
    for (const tile of TILE_ROWS_OF_FEW) {
      // Whether a step of so many rows is one for this kernel.
      const takes = (count: number) =>
        count >= fewestRows && count <= DECODE_ROWS && tileOf(count, program.kernels) === tile;
      if (!COUNTS.some(takes)) continue;
      const cut = productCut(tile, variant);
      const { norm = null, next = null } = io;
      const sizes = program.kernels.uniform(matmulSizes({
        ...shape,
        ...(norm ? { norm: { parts: squareParts(norm, variant), epsilon: norm.epsilon } } : {}),
        ...(next ? { nextParts: squareParts(next, variant) } : {}),
      }));
      program.add(
        next ? matmulResidual(shape, cut, squareBlock(variant)) : matmul(shape, cut),
        {
          ...{ step, codes, scales: scales ?? codes, x, y, sizes, squares: norm?.squares ?? x },
          ...(next ? { norm: next.weight, scaled: next.scaled, next_squares: next.squares } : {}),
        },
        (s) => takes(rowsOf(s, shape)) ? matmulGrid(shape, cut, s) : [0, 0, 0],
      );
    }
  }
}

/** The product of a step of more than `DECODE_ROWS` rows, which are not to be normed. */
function addMany(
  program: Program,
  buffers: Readonly<Record<"step" | "codes" | "scales" | "x" | "y", GPUBuffer>>,
  shape: MatmulShape,
): void {
  const { kernels } = program;
  const sizes = kernels.uniform(matmulSizes(shape));
  if (kernels.variant.broadcast) {
    const cut = productCut(16, kernels.variant);
    program.add(
      matmul(shape, cut),
      { ...buffers, sizes, squares: buffers.x },
      (s) => rowsOf(s, shape) > DECODE_ROWS ? matmulGrid(shape, cut, s) : [0, 0, 0],
    );
    return;
  }
  const cut = tileCut(kernels);
  program.add(
    matmulTile(shape, cut),
    { ...buffers, sizes },
    (s) => rowsOf(s, shape) > DECODE_ROWS ? matmulTileGrid(shape, cut, s) : [0, 0, 0],
  );
}

/** Into how many parts the squares of a row of this norm are summed, rounded up to whole quads. */
export function squareParts({ width }: Pick<SplitNorm, "width">, variant: ProductVariant): number {
  return 4 * ceilDiv(width, 4 * squareBlock(variant));
}

/** The numbers of rows that are few. */
const COUNTS: readonly number[] = Array.from({ length: DECODE_ROWS }, (_, i) => i + 1);

function rowsOf(step: StepShape, { head }: MatmulShape): number {
  return head ? step.headRows : step.rows;
}
