/** Embedding lookup for the rows of a step. @module */
import { FORMATS } from "../common/formats.ts";
import { STEP_WGSL } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import source from "./embed.wgsl" with { type: "text" };

/** The ids whose rows one buffer holds, and how wide a row is. */
export interface EmbedShape {
  /** A multiple of 4. */
  readonly width: number;
  readonly firstId: number;
  readonly ids: number;
}

/**
 * `y[row] = table[ids[row]]`: ids u32 [rows], table BF16 [ids, width] from `firstId` on, y [rows, width] f32.
 * Rows whose id lies in another part of the table are left alone: one dispatch a part.
 * @throws {RangeError} unless `width` is a multiple of 4
 */
export function embed({ width, firstId, ids }: EmbedShape): KernelSpec {
  if (width % 4) {
    throw new RangeError(`Cannot look up rows of ${width}: expected a multiple of 4`);
  }
  return {
    name: "embed",
    source: STEP_WGSL + FORMATS.bf16.snippet + source,
    bindings: { step: "read", ids: "read", table: "read", y: "read_write" },
    constants: { WIDTH: width, FIRST_ID: firstId, IDS: ids },
  };
}

/** 256 elements a workgroup. */
export function embedGrid({ width }: EmbedShape, step: StepShape): Grid {
  return [ceilDiv(width, 256), step.rows, 1];
}
