/** Matrix product y = W x over the rows of a step, for weights in any format. @module */
import { type FormatName, FORMATS, UNIT } from "../common/formats.ts";
import { cutConstants, type ProductCut, PRODUCTS_WGSL, rowsOfCut } from "../common/products.ts";
import { STEP_WGSL } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import source from "./matmul.wgsl" with { type: "text" };

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
}

/**
 * The kernel for one format and cut. Buffers: codes and scales of W (codes again where the format has no scales), x
 * and y f32, `sizes` from `matmulSizes`. A row has the same bits whatever its neighbours, with any cut of equal lanes.
 */
export function matmul({ format, scaleRows = 128 }: MatmulShape, cut: ProductCut): KernelSpec {
  return {
    name: `matmul_${format}_${cut.tile}`,
    source: STEP_WGSL + FORMATS[format].snippet + PRODUCTS_WGSL + source,
    bindings: {
      step: "read",
      codes: "read",
      scales: "read",
      x: "read",
      y: "read_write",
      sizes: "uniform",
    },
    constants: { SHARING: Math.min(scaleRows, MOST_SHARING), ...cutConstants(cut) },
  };
}

/** A lane group never has more outputs than this: sharing of scales beyond it makes no other kernel. */
const MOST_SHARING = 16;

/** The grid of `matmul`. */
export function matmulGrid(shape: MatmulShape, cut: ProductCut, step: StepShape): Grid {
  const rows = shape.head ? step.headRows : step.rows;
  return [ceilDiv(shape.n, rowsOfCut(cut)), ceilDiv(rows, cut.tile), 1];
}

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
  return [n, k, xStride / 4, xOffset / 4, yStride, yOffset, ...flags, scaleRows];
}
