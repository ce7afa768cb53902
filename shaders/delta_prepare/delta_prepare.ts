/** The part of the chunked delta rule that does not need the state, parallel over chunks. @module */
import { mostBlocks, SEGMENT_BLOCKS_WGSL } from "../common/segment_blocks.ts";
import { SILU_WGSL } from "../common/silu.ts";
import { STEP_WGSL } from "../common/step.ts";
import { checkDeltaSizes, deltaConstants, type DeltaSizes } from "../delta_rule/sizes.ts";
import type { Grid, KernelSpec, StepShape } from "../kernel_spec.ts";
import columns from "./columns.wgsl" with { type: "text" };
import source from "./delta_prepare.wgsl" with { type: "text" };
import broadcasting from "./delta_prepare_broadcast.wgsl" with { type: "text" };
import { DELTA_GATES_WGSL } from "./gates.ts";

/** f32 coefficients of one row and value head. */
export const DELTA_COEFFICIENTS = 36;

/**
 * For `deltaScan()`: coefficients of the segments with more than `mostRows` rows.
 * `broadcast`, of a `TileCut`: threads tell each other what all need, instead of going through workgroup memory.
 * @throws {RangeError} for sizes that the kernel was not written for
 */
export function deltaPrepare(sizes: DeltaSizes, mostRows: number, broadcast: boolean): KernelSpec {
  checkDeltaSizes(sizes);
  return {
    name: broadcast ? "delta_prepare_broadcast" : "delta_prepare",
    source: STEP_WGSL + SEGMENT_BLOCKS_WGSL + SILU_WGSL + DELTA_GATES_WGSL +
      (broadcast ? columns + broadcasting : source),
    bindings: {
      step: "read",
      segments: "read",
      convolved: "read",
      ba: "read",
      a_log: "read",
      dt_bias: "read",
      coefficients: "read_write",
    },
    constants: {
      ...deltaConstants(sizes),
      MOST_ROWS: mostRows,
      ...(broadcast ? {} : { TILE: 16 * (sizes.keyDim / 4 + 1) }),
    },
  };
}

/** One workgroup a chunk and value head, or with broadcasts a chunk and key head. */
export function deltaPrepareGrid(
  { keyHeads, valueHeads }: DeltaSizes,
  broadcast: boolean,
): (step: StepShape) => Grid {
  return (step) => [mostBlocks(step), broadcast ? keyHeads : valueHeads, 1];
}
