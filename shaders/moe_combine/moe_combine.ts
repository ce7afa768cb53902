/** Weighted sum of the experts' outputs into the residual stream. @module */
import { STEP_WGSL } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import source from "./moe_combine.wgsl" with { type: "text" };

/** Sizes of a mixture-of-experts block's output. */
export interface CombineShape {
  /** A multiple of 4. */
  readonly hidden: number;
  readonly topK: number;
}

/**
 * `h[row] += sum_rank weights[row, rank] routed[row, rank] + shared_gate[row] shared_out[row]`; routed f32
 * [rows, topK, hidden], weights f32 [rows, topK], shared_out and h f32 [rows, hidden], shared_gate f32 [rows].
 * @throws {RangeError} unless `hidden` is a multiple of 4
 */
export function moeCombine({ hidden, topK }: CombineShape): KernelSpec {
  if (hidden % 4) {
    throw new RangeError(`Cannot combine rows of ${hidden}: expected a multiple of 4`);
  }
  return {
    name: "moe_combine",
    source: STEP_WGSL + source,
    bindings: {
      step: "read",
      routed: "read",
      weights: "read",
      shared_out: "read",
      shared_gate: "read",
      h: "read_write",
    },
    constants: { HIDDEN: hidden, TOP_K: topK },
  };
}

/** 256 elements a workgroup. */
export function moeCombineGrid({ hidden }: CombineShape, step: StepShape): Grid {
  return [ceilDiv(hidden, 256), step.rows, 1];
}
