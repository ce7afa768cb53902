/** The gated delta rule row by row, with convolution, gates, normalisation and gated norm: for a few rows a segment. @module */
import { CONV_RING_WGSL, CONV_TAPS_WGSL } from "../causal_conv/causal_conv.ts";
import { FORMATS, UNIT } from "../common/formats.ts";
import { SILU_WGSL } from "../common/silu.ts";
import { STEP_WGSL } from "../common/step.ts";
import { DELTA_GATES_WGSL } from "../delta_prepare/gates.ts";
import type { Grid, KernelSpec, StepShape } from "../kernel_spec.ts";
import source from "./delta_step.wgsl" with { type: "text" };
import broadcasting from "./delta_step_broadcast.wgsl" with { type: "text" };
import inputs from "./step_inputs.wgsl" with { type: "text" };
import { checkDeltaSizes, deltaConstants, type DeltaSizes } from "./sizes.ts";

/** Sizes of what `deltaStep` does beside the delta rule. */
export interface DeltaStepSizes extends DeltaSizes {
  /** Width of the mixer's input, of which it makes the gates; a multiple of 16. */
  readonly hidden: number;
  /** Taps of the convolution, 2 to 4. */
  readonly convKernel: number;
  /** The input is scaled but not yet normed in steps of up to so many rows: its squares come in so many parts. */
  readonly norm?: { readonly parts: number; readonly mostRows: number };
}

/** Which segments an instance of the kernel takes: by the number of their rows. */
export interface DeltaStepRange {
  readonly fewestRows: number;
  readonly mostRows: number;
}

/** What an instance does beside that. */
export interface DeltaStepOptions extends DeltaStepRange {
  readonly epsilon: number;
  /** Of a `TileCut`: for segments of one row, few threads tell each other what all need, instead of waiting for each other. */
  readonly broadcast: boolean;
}

/**
 * Segments of `fewestRows` to `mostRows` rows, either both 1 or both more: `out` is the mixer's output before its last
 * projection. Those of several rows come with their convolution done. Shapes are in the WGSL file. A row has the same bits
 * in either instance.
 * @throws {RangeError} for sizes that the kernel was not written for
 */
export function deltaStep(
  sizes: DeltaStepSizes,
  { fewestRows, mostRows, epsilon, broadcast }: DeltaStepOptions,
): KernelSpec {
  checkDeltaSizes(sizes);
  const { keyDim, valueDim, hidden, convKernel, norm } = sizes;
  if (hidden % UNIT || convKernel < 2 || convKernel > 4) {
    throw new RangeError(
      `Cannot run the delta rule on rows of ${hidden} with ${convKernel} taps: ` +
        `expected a multiple of ${UNIT} and 2 to 4`,
    );
  }
  const broadcasts = broadcast && mostRows === 1 && valueDim >= 32;
  const parts = keyDim * valueDim / 64;
  return {
    name: broadcasts ? "delta_step_broadcast" : "delta_step",
    source: STEP_WGSL + SILU_WGSL + DELTA_GATES_WGSL + FORMATS.bf16.snippet + CONV_RING_WGSL +
      CONV_TAPS_WGSL + inputs + (broadcasts ? broadcasting : source),
    bindings: {
      step: "read",
      segments: "read",
      mixed: "read",
      convolved: "read",
      conv_weight: "read",
      x: "read",
      gates: "read",
      a_log: "read",
      dt_bias: "read",
      norm: "read",
      conv_state: "read_write",
      state: "read_write",
      out: "read_write",
      squares: "read",
    },
    constants: {
      ...deltaConstants(sizes),
      EPSILON: epsilon,
      FEWEST_ROWS: fewestRows,
      MOST_ROWS: mostRows,
      HIDDEN: hidden,
      PARTS: norm?.parts ?? 0,
      SCALED_ROWS: norm?.mostRows ?? 0,
      TAPS: convKernel,
      GATE_PARTS: parts,
      INPUTS: (2 * keyDim + valueDim) / 4,
      ...(broadcasts ? { THREADS: 8 } : { THREADS: parts, STRIPES: Math.min(8, parts) }),
    },
  };
}

/** One workgroup a value head and segment. */
export function deltaStepGrid({ valueHeads }: DeltaSizes): (step: StepShape) => Grid {
  return (step) => [valueHeads, step.segments, 1];
}
