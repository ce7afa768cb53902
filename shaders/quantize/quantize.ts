/** Rounds a BF16 matrix to 8 bits a weight, in the format `int8`. @module */
import { UNIT } from "../common/formats.ts";
import { ceilDiv, type Grid, type KernelSpec } from "../kernel_spec.ts";
import source from "./quantize.wgsl" with { type: "text" };

/** The rows of a matrix that are rounded together. */
export interface QuantizeShape {
  readonly rows: number;
  /** A multiple of 16. */
  readonly k: number;
}

/** Rows that share the scale of 128 columns: as many as a kernel multiplies at a time, so that it loads one scale for them. */
export const INT8_SCALE_ROWS = 8;

/** Buffers: weights BF16 [rows, k], codes bytes [rows, k], scales BF16 [ceil(rows / 8), ceil(k / 128)], `quantizeSizes`. */
export const QUANTIZE: KernelSpec = {
  name: "quantize",
  source,
  bindings: { weights: "read", codes: "read_write", scales: "read_write", sizes: "uniform" },
  constants: { SCALE_ROWS: INT8_SCALE_ROWS },
};

/** One thread for two scales. */
export function quantizeGrid(shape: QuantizeShape): Grid {
  return [ceilDiv(int8ScaleCount(shape), 2 * 64), 1, 1];
}

/** Scales of so many rows. */
export function int8ScaleCount({ rows, k }: QuantizeShape): number {
  return ceilDiv(rows, INT8_SCALE_ROWS) * ceilDiv(k, 128);
}

/**
 * The words of the `sizes` uniform.
 * @throws {RangeError} unless `k` is a multiple of 16
 */
export function quantizeSizes({ rows, k }: QuantizeShape): number[] {
  if (k % UNIT) throw new RangeError(`Cannot round rows of ${k}: expected a multiple of ${UNIT}`);
  return [rows, k];
}
