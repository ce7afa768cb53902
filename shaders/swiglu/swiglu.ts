/** The gate of an MLP. @module */
import { SILU_WGSL } from "../common/silu.ts";
import { STEP_WGSL } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import source from "./swiglu.wgsl" with { type: "text" };

/**
 * `y = silu(gate) * up` of rows [gate | up]: x [rows, 2 dff], y [rows, dff], f32.
 * @throws {RangeError} unless `dff` is a multiple of 4
 */
export function swiglu({ dff }: { readonly dff: number }): KernelSpec {
  if (dff % 4) throw new RangeError(`Cannot gate rows of ${dff}: expected a multiple of 4`);
  return {
    name: "swiglu",
    source: STEP_WGSL + SILU_WGSL + source,
    bindings: { step: "read", x: "read", y: "read_write" },
    constants: { DFF: dff },
  };
}

/** 256 elements a workgroup. */
export function swigluGrid({ dff }: { readonly dff: number }, step: StepShape): Grid {
  return [ceilDiv(dff, 256), step.rows, 1];
}
