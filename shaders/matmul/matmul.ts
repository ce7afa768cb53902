/** Matrix product y = W x over the rows of a step, for weights in any format. @module */
import { type FormatName, FORMATS, UNIT } from "../common/formats.ts";
import { floatBits } from "../common/float_bits.ts";
import {
  cutConstants,
  factorConstants,
  type ProductCut,
  productsWgsl,
  ROW_FACTOR_WGSL,
  rowsOfCut,
} from "../common/products.ts";
import { STEP_WGSL } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import source from "./matmul.wgsl" with { type: "text" };
import matrix from "./matrix.wgsl" with { type: "text" };
import store from "./store.wgsl" with { type: "text" };
import storeResidual from "./store_residual.wgsl" with { type: "text" };

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

/**
 * The kernel for one format and cut. Buffers: codes and scales of W (codes again where the format has no scales), x
 * and y f32, `sizes` from `matmulSizes`, squares f32 [rows, parts] where the shape has a norm (else any), parts in whole quads. A row has the same bits whatever its neighbours, with any cut of equal lanes and reduction.
 */
export function matmul({ format, scaleRows = 128 }: MatmulShape, cut: ProductCut): KernelSpec {
  return {
    name: `matmul_${format}_${cut.tile}`,
    source: STEP_WGSL + FORMATS[format].snippet + productsWgsl(cut) + ROW_FACTOR_WGSL + matrix +
      source +
      store,
    bindings: BINDINGS,
    constants: constantsOf(scaleRows, cut),
  };
}

/**
 * As `matmul`, adding to y, the residual stream, and with the first half of the norm that follows: norm f32 [n],
 * scaled f32 like y, next_squares f32 [rows, nextParts] of `block` columns of y each.
 * @throws {RangeError} if a workgroup does not have whole blocks
 */
export function matmulResidual(
  { format, scaleRows = 128 }: MatmulShape,
  cut: ProductCut,
  block: number,
): KernelSpec {
  if (rowsOfCut(cut) % block) {
    throw new RangeError(
      `Cannot sum squares of ${block} columns: expected a divisor of ${
        rowsOfCut(cut)
      }, the columns of a workgroup`,
    );
  }
  return {
    name: `matmul_residual_${format}_${cut.tile}`,
    source: STEP_WGSL + FORMATS[format].snippet + productsWgsl(cut) + ROW_FACTOR_WGSL + matrix +
      source + storeResidual,
    bindings: { ...BINDINGS, norm: "read", scaled: "read_write", next_squares: "read_write" },
    constants: {
      ...constantsOf(scaleRows, cut),
      BLOCK: block,
      KEPT: rowsOfCut(cut) * cut.tile,
    },
  };
}

const BINDINGS: KernelSpec["bindings"] = {
  step: "read",
  codes: "read",
  scales: "read",
  x: "read",
  y: "read_write",
  sizes: "uniform",
  squares: "read",
};

/** WGSL text of what the kernels for few and for many rows share. */
export const MATRIX_WGSL: string = matrix;

/** How many rows of W share their scales, as far as a kernel cares. */
export function sharingOf(scaleRows: number): number {
  return Math.min(scaleRows, MOST_SHARING);
}

function constantsOf(scaleRows: number, cut: ProductCut): Record<string, number> {
  return {
    SHARING: sharingOf(scaleRows),
    ...factorConstants(cut),
    ...cutConstants(cut),
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
