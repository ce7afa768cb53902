/** Matrix product y = W x over the rows of a step, for weights in any format. @module */
import { type FormatName, FORMATS, UNIT } from "../common/formats.ts";
import gemm from "../common/gemm.wgsl" with { type: "text" };
import { STEP_WGSL } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import few from "./few.wgsl" with { type: "text" };
import many from "./many.wgsl" with { type: "text" };

/** One product. Strides and offsets are in elements, so that x and y may be columns of wider buffers. */
export interface MatmulShape {
  readonly format: FormatName;
  /** Rows of W: outputs. */
  readonly n: number;
  /** Columns of W: inputs; a multiple of 16. */
  readonly k: number;
  /** Rows of W that share a row of scales; 128 unless said. */
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
  /** Lanes of the "few" kernel: `matmulLanes` of the whole matrix where this is a slice; else of n. */
  readonly lanes?: number;
}

/** Rows of x that the "few" kernel multiplies with one reading of the weights. */
export type FewTile = 1 | 4;

/** Buffers: codes and scales of W (bind codes again where the format has no scales), x and y f32. */
const BINDINGS = {
  step: "read",
  codes: "read",
  scales: "read",
  x: "read",
  y: "read_write",
} as const;

const TILE_ROWS = 32;
const TILE_OUTPUTS = 64;

/**
 * The kernel for a few rows (decode): limited by the bytes of W. A row gets the same bits whatever `tile`
 * and whatever its neighbours.
 * @throws {RangeError} for sizes or strides that the kernel cannot read
 */
export function matmulFew(shape: MatmulShape, tile: FewTile): KernelSpec {
  return {
    name: `matmul_few_${shape.format}`,
    source: STEP_WGSL + FORMATS[shape.format].snippet + few,
    bindings: BINDINGS,
    constants: { ...constantsOf(shape), LANES: lanesOf(shape), TILE: tile },
  };
}

/** The grid of `matmulFew`. */
export function matmulFewGrid(shape: MatmulShape, tile: FewTile, step: StepShape): Grid {
  return [ceilDiv(shape.n, 256 / lanesOf(shape)), ceilDiv(rowsOf(shape, step), tile), 1];
}

/**
 * The kernel for many rows (prefill): a tiled product, limited by arithmetic.
 * @throws {RangeError} for sizes or strides that the kernel cannot read
 */
export function matmulMany(shape: MatmulShape): KernelSpec {
  return {
    name: `matmul_many_${shape.format}`,
    source: STEP_WGSL + FORMATS[shape.format].snippet + gemm + many,
    bindings: BINDINGS,
    constants: constantsOf(shape),
  };
}

/** The grid of `matmulMany`. */
export function matmulManyGrid(shape: MatmulShape, step: StepShape): Grid {
  return [ceilDiv(shape.n, TILE_OUTPUTS), ceilDiv(rowsOf(shape, step), TILE_ROWS), 1];
}

/**
 * Lanes that share one output of the "few" kernel: few lanes where n outputs fill a GPU without. They decide the
 * order of a sum, so the slices of one matrix take those of the whole: splitting never changes a bit.
 */
export function matmulLanes(n: number): number {
  return n >= 8192 ? 8 : n >= 2048 ? 16 : 32;
}

function rowsOf(shape: MatmulShape, step: StepShape): number {
  return shape.head ? step.headRows : step.rows;
}

function lanesOf({ n, lanes }: MatmulShape): number {
  return lanes ?? matmulLanes(n);
}

function constantsOf(shape: MatmulShape): Record<string, number> {
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
  if (n * k / UNIT >= 2 ** 32) {
    throw new RangeError(`Cannot index a matrix [${n}, ${k}]: split it by rows`);
  }
  return {
    N: n,
    K: k,
    SCALE_ROWS: scaleRows,
    X_STRIDE: xStride,
    X_OFFSET: xOffset,
    Y_STRIDE: yStride,
    Y_OFFSET: yOffset,
    ACCUMULATE: Number(shape.accumulate ?? false),
    HEAD: Number(shape.head ?? false),
  };
}
