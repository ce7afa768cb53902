/** The passage from one decode step to the next on the GPU. @module */
import { STEP_WGSL } from "../common/step.ts";
import type { KernelSpec } from "../kernel_spec.ts";
import { SAMPLE } from "../sampler/layout.ts";
import source from "./advance.wgsl" with { type: "text" };

/** Most segments of a step that can be advanced. */
export const ADVANCE_SEGMENTS = 16;

/** Words of one segment's `Limit` and the place of each field; `stopIds` has room for `mostStopIds`. */
export const LIMIT = { words: 32, left: 0, stopCount: 1, stopIds: 2, mostStopIds: 30 } as const;

/**
 * Turns step, rows and segments of a decode step of one row a sequence into those of the next, whose input `ids` u32
 * [segments] are the ids in `samples`. Sequences that end by their `limits` keep their recurrent state from then on.
 * One workgroup.
 */
export function advance(): KernelSpec {
  return {
    name: "advance",
    source: STEP_WGSL + source,
    bindings: {
      step: "read_write",
      rows: "read_write",
      segments: "read_write",
      samples: "read",
      limits: "read_write",
      ids: "read_write",
    },
    constants: { SAMPLE_WORDS: SAMPLE.words },
  };
}
