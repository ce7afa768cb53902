/** Weighted sum of the experts' outputs into the residual stream. @module */
import { STEP_WGSL } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import source from "./moe_combine.wgsl" with { type: "text" };

/** Sizes of a mixture-of-experts block's output. */
export interface CombineShape {
  /** A multiple of 4. */
  readonly hidden: number;
  /** Experts of a row, the shared one included. */
  readonly ranks: number;
}

/**
 * `h[row] += sum_rank weights[row, rank] outputs[row, rank]`; outputs f32 [rows, ranks, hidden], weights f32
 * [rows, ranks], h f32 [rows, hidden].
 * @throws {RangeError} unless `hidden` is a multiple of 4
 */
export function moeCombine({ hidden, ranks }: CombineShape): KernelSpec {
  if (hidden % 4) {
    throw new RangeError(`Cannot combine rows of ${hidden}: expected a multiple of 4`);
  }
  return {
    name: "moe_combine",
    source: STEP_WGSL + source,
    bindings: {
      step: "read",
      outputs: "read",
      weights: "read",
      h: "read_write",
    },
    constants: { HIDDEN: hidden, RANKS: ranks },
  };
}

/** 256 elements a workgroup. */
export function moeCombineGrid({ hidden }: CombineShape, step: StepShape): Grid {
  return [ceilDiv(hidden, 256), step.rows, 1];
}
