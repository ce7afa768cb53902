/** The gated delta rule in chunks of 16 rows: the part that carries the state. @module */
import { SEGMENT_BLOCKS_WGSL } from "../common/segment_blocks.ts";
import { STEP_WGSL } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import chunkRows from "./chunk_rows.wgsl" with { type: "text" };
import source from "./delta_scan.wgsl" with { type: "text" };
import broadcasting from "./delta_scan_broadcast.wgsl" with { type: "text" };
import { checkDeltaSizes, deltaConstants, type DeltaSizes } from "./sizes.ts";

/** Values (columns of the state) of one workgroup. */
const SLICE_COLUMNS = { shared: 16, broadcast: 32 };

/**
 * Segments of more than `mostRows` rows, after `deltaPrepare()` with the same sizes; `out` still needs
 * its gated norm. `broadcast`, of a `TileCut`: threads tell each other what all columns need, instead of going through
 * workgroup memory.
 * @throws {RangeError} for sizes that the kernel was not written for
 */
export function deltaScan(sizes: DeltaSizes, mostRows: number, broadcast: boolean): KernelSpec {
  checkDeltaSizes(sizes);
  const { keyDim } = sizes;
  const constants = broadcast ? { SLICE: keyDim * SLICE_COLUMNS.broadcast / 4 } : {
    TILE: 16 * (keyDim / 4 + 1),
    SLICE: keyDim * SLICE_COLUMNS.shared / 4,
  };
  return {
    name: broadcast ? "delta_scan_broadcast" : "delta_scan",
    source: STEP_WGSL + SEGMENT_BLOCKS_WGSL + (broadcast ? chunkRows + broadcasting : source),
    bindings: {
      step: "read",
      segments: "read",
      convolved: "read",
      coefficients: "read",
      state: "read_write",
      out: "read_write",
    },
    constants: { ...deltaConstants(sizes), MOST_ROWS: mostRows, ...constants },
  };
}

/** One workgroup a slice of columns, value head and segment. */
export function deltaScanGrid(
  { valueHeads, valueDim }: DeltaSizes,
  broadcast: boolean,
): (step: StepShape) => Grid {
  const columns = broadcast ? SLICE_COLUMNS.broadcast : SLICE_COLUMNS.shared;
  return (step) => [ceilDiv(valueDim, columns), valueHeads, step.segments];
}
