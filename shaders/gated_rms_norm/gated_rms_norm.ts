/** RMSNorm over heads, times silu of a gate, in place. @module */
import { SILU_WGSL } from "../common/silu.ts";
import { STEP_WGSL } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import source from "./gated_rms_norm.wgsl" with { type: "text" };
import broadcasting from "./gated_rms_norm_broadcast.wgsl" with { type: "text" };

/** Heads of a workgroup whose threads do not wait for each other. */
const BROADCAST_HEADS = 8;

/** Sizes of the norm and the place of the gate in its rows. */
export interface GatedRmsNormSizes {
  readonly heads: number;
  /** Values of a head; a multiple of 4. */
  readonly width: number;
  /** Columns of a row that holds the gate; a multiple of 4. */
  readonly stride: number;
  /** The gate's first column; a multiple of 4. */
  readonly offset: number;
  readonly epsilon: number;
  /** Segments of so many rows and fewer are left as they are; 0 for none. */
  readonly mostRows: number;
}

/**
 * x [rows, heads, width], gate [rows, stride], weight [width]; f32. `broadcast`, of a `TileCut`: few threads tell each other
 * their sums, instead of waiting for each other.
 * @throws {RangeError} unless widths and places are multiples of 4 and a head has at most 1,024 values
 */
export function gatedRmsNorm(sizes: GatedRmsNormSizes, broadcast: boolean): KernelSpec {
  const { heads, width, stride, offset, epsilon, mostRows } = sizes;
  if (width % 4 || stride % 4 || offset % 4 || width > 1024) {
    throw new RangeError(
      `Cannot normalise heads of ${width} with a gate at column ${offset} of ${stride}: ` +
        `expected multiples of 4, and at most 1024 a head`,
    );
  }
  return {
    name: broadcast ? "gated_rms_norm_broadcast" : "gated_rms_norm",
    source: STEP_WGSL + SILU_WGSL + (broadcast ? broadcasting : source),
    bindings: {
      step: "read",
      rows: "read",
      segments: "read",
      gate: "read",
      weight: "read",
      x: "read_write",
    },
    constants: {
      HEADS: heads,
      WIDTH: width,
      STRIDE: stride,
      OFFSET: offset,
      EPSILON: epsilon,
      MOST_ROWS: mostRows,
      ...(broadcast ? {} : { THREADS: width / 4 }),
    },
  };
}

/** One workgroup a head and row, or with broadcasts some heads and a row. */
export function gatedRmsNormGrid(heads: number, broadcast: boolean): (step: StepShape) => Grid {
  const groups = broadcast ? ceilDiv(heads, BROADCAST_HEADS) : heads;
  return (step) => [groups, step.rows, 1];
}
