/** Zero-centred RMSNorm over rows. @module */
import { STEP_WGSL } from "../common/step.ts";
import type { Grid, KernelSpec, StepShape } from "../kernel_spec.ts";
import source from "./rms_norm.wgsl" with { type: "text" };

/**
 * `y[row] = x[row] / rms(x[row]) * (1 + weight)`; x and y are [rows, width] f32, weight [width] f32.
 * @throws {RangeError} unless `width` is a multiple of 4
 */
export function rmsNorm(
  shape: { readonly width: number; readonly epsilon: number; readonly head?: boolean },
): KernelSpec {
  if (shape.width % 4) {
    throw new RangeError(`Cannot normalise rows of ${shape.width}: expected a multiple of 4`);
  }
  return {
    name: "rms_norm",
    source: STEP_WGSL + source,
    bindings: { step: "read", x: "read", weight: "read", y: "read_write" },
    constants: { WIDTH: shape.width, EPSILON: shape.epsilon, HEAD: shape.head ? 1 : 0 },
  };
}

/** One workgroup a row. */
export function rmsNormGrid(step: StepShape): Grid {
  return [step.rows, 1, 1];
}
