/** Picks the rows that go through the head. @module */
import { STEP_WGSL } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import source from "./gather_rows.wgsl" with { type: "text" };

/**
 * `y[i] = x[heads[i]]` for each of `step.head_rows`: x [rows, width], y [headRows, width] f32, heads u32.
 * @throws {RangeError} unless `width` is a multiple of 4
 */
export function gatherRows({ width }: { readonly width: number }): KernelSpec {
  if (width % 4) {
    throw new RangeError(`Cannot gather rows of ${width}: expected a multiple of 4`);
  }
  return {
    name: "gather_rows",
    source: STEP_WGSL + source,
    bindings: { step: "read", heads: "read", x: "read", y: "read_write" },
    constants: { WIDTH: width },
  };
}

/** 256 elements a workgroup. */
export function gatherRowsGrid({ width }: { readonly width: number }, step: StepShape): Grid {
  return [ceilDiv(width, 256), step.headRows, 1];
}
