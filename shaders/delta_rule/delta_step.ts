/** The gated delta rule row by row, with gates, normalisation and gated norm: for a few rows a segment. @module */
import { SILU_WGSL } from "../common/silu.ts";
import { STEP_WGSL } from "../common/step.ts";
import { DELTA_GATES_WGSL } from "../delta_prepare/gates.ts";
import type { Grid, KernelSpec, StepShape } from "../kernel_spec.ts";
import source from "./delta_step.wgsl" with { type: "text" };
import { checkDeltaSizes, deltaConstants, type DeltaSizes } from "./sizes.ts";

/**
 * Segments of up to `mostRows` rows: `out` is the mixer's output before its last projection.
 * Shapes are in the WGSL file.
 * @throws {RangeError} for sizes that the kernel was not written for
 */
export function deltaStep(
  sizes: DeltaSizes,
  { mostRows, epsilon }: { readonly mostRows: number; readonly epsilon: number },
): KernelSpec {
  checkDeltaSizes(sizes);
  return {
    name: "delta_step",
    source: STEP_WGSL + SILU_WGSL + DELTA_GATES_WGSL + source,
    bindings: {
      step: "read",
      segments: "read",
      convolved: "read",
      mixed: "read",
      ba: "read",
      a_log: "read",
      dt_bias: "read",
      norm: "read",
      state: "read_write",
      out: "read_write",
    },
    constants: {
      ...deltaConstants(sizes),
      EPSILON: epsilon,
      MOST_ROWS: mostRows,
      THREADS: sizes.keyDim * sizes.valueDim / 64,
    },
  };
}

/** One workgroup a value head and segment. */
export function deltaStepGrid({ valueHeads }: DeltaSizes): (step: StepShape) => Grid {
  return (step) => [valueHeads, step.segments, 1];
}
