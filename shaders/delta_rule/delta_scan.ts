/** The gated delta rule in chunks of 16 rows: the part that carries the state. @module */
import { SEGMENT_BLOCKS_WGSL } from "../common/segment_blocks.ts";
import { STEP_WGSL } from "../common/step.ts";
import type { Grid, KernelSpec, StepShape } from "../kernel_spec.ts";
import source from "./delta_scan.wgsl" with { type: "text" };
import { checkDeltaSizes, deltaConstants, type DeltaSizes } from "./sizes.ts";

/** Values (columns of the state) of one workgroup. */
const SLICE_COLUMNS = 16;

/**
 * Segments of more than `mostRows` rows, after `deltaPrepare()` with the same sizes; `out` still needs
 * its gated norm.
 * @throws {RangeError} for sizes that the kernel was not written for
 */
export function deltaScan(sizes: DeltaSizes, mostRows: number): KernelSpec {
  checkDeltaSizes(sizes);
  return {
    name: "delta_scan",
    source: STEP_WGSL + SEGMENT_BLOCKS_WGSL + source,
    bindings: {
      step: "read",
      segments: "read",
      convolved: "read",
      coefficients: "read",
      state: "read_write",
      out: "read_write",
    },
    constants: {
      ...deltaConstants(sizes),
      MOST_ROWS: mostRows,
      TILE: 16 * (sizes.keyDim / 4 + 1),
      SLICE: sizes.keyDim * SLICE_COLUMNS / 4,
    },
  };
}

/** One workgroup a slice of columns, value head and segment. */
export function deltaScanGrid({ valueHeads, valueDim }: DeltaSizes): (step: StepShape) => Grid {
  return (step) => [valueDim / SLICE_COLUMNS, valueHeads, step.segments];
}
