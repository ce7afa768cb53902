/** What all kernels of a matrix product share: its shape, its sizes as data, and how it reads the matrix. @module */
import { type FormatName, UNIT } from "../common/formats.ts";
import { floatBits } from "../common/float_bits.ts";
import matrix from "./matrix.wgsl" with { type: "text" };
import quads from "./store_quads.wgsl" with { type: "text" };
import singles from "./store_singles.wgsl" with { type: "text" };

/** One product. Strides and offsets are in elements, so that x and y may be columns of wider buffers. */
export interface MatmulShape {
  readonly format: FormatName;
  /** Rows of W: outputs. */
  readonly n: number;
  /** Columns of W: inputs; a multiple of 16. */
  readonly k: number;
  /** Rows of W that share a row of scales: a power of two, 128 unless said. */
  readonly scaleRows?: number;
  /** Elements from one row of x to the next, a multiple of 4; k unless said. */
  readonly xStride?: number;
  /** Where a row of x starts, a multiple of 4; 0 unless said. */
  readonly xOffset?: number;
  /** Elements from one row of y to the next; n unless said. */
  readonly yStride?: number;
  /** Where a row of y starts; 0 unless said. */
  readonly yOffset?: number;
  /** Add to y instead of replacing it. */
  readonly accumulate?: boolean;
  /** The rows are those of the head: `step.head_rows` instead of `step.rows`. */
  readonly head?: boolean;
  /** x is scaled but not yet normed: its rows, of k elements, are divided by the root of their mean square. */
  readonly norm?: { readonly parts: number; readonly epsilon: number };
  /** Parts of the squares of the rows of y, in `matmulResidual`. */
  readonly nextParts?: number;
}

/** WGSL text of what the kernels for few and for many rows share. */
export const MATRIX_WGSL: string = matrix;

/** WGSL text of `store_four`, which stores quads of y where all are whole. */
export function storeWgsl({ n, yStride = n, yOffset = 0 }: MatmulShape): string {
  return [n, yStride, yOffset].every((size) => size % 4 === 0) ? quads : singles;
}

/** How many rows of W share their scales, as far as a kernel cares. */
export function sharingOf(scaleRows: number): number {
  return Math.min(scaleRows, MOST_SHARING);
}

/** A lane group never has more outputs than this: sharing of scales beyond it makes no other kernel. */
const MOST_SHARING = 16;

/**
 * The words of the `sizes` uniform.
 * @throws {RangeError} for sizes or strides that the kernel cannot read
 */
export function matmulSizes(shape: MatmulShape): number[] {
  const { n, k, scaleRows = 128, xStride = k, xOffset = 0, yStride = n, yOffset = 0 } = shape;
  if (n < 1 || k < UNIT || k % UNIT) {
    throw new RangeError(
      `Cannot multiply by a matrix [${n}, ${k}]: expected rows, and columns in multiples of ${UNIT}`,
    );
  }
  if (xStride % 4 || xOffset % 4) {
    throw new RangeError(
      `Cannot read rows of x at ${xOffset} every ${xStride}: expected multiples of 4 elements`,
    );
  }
  if (128 % scaleRows) {
    throw new RangeError(
      `Cannot read scales of ${scaleRows} rows each: expected a power of two up to 128`,
    );
  }
  if (n * k / UNIT >= 2 ** 32) {
    throw new RangeError(`Cannot index a matrix [${n}, ${k}]: split it by rows`);
  }
  const flags = [Number(shape.accumulate ?? false), Number(shape.head ?? false)];
  const { parts = 0, epsilon = 0 } = shape.norm ?? {};
  return [
    n,
    k,
    xStride / 4,
    xOffset / 4,
    yStride,
    yOffset,
    ...flags,
    scaleRows,
    parts,
    floatBits(epsilon),
    shape.nextParts ?? 0,
  ];
}
