/** Blocks of 16 rows within segments, for kernels that run the rows of a segment in parallel. @module */
import type { StepShape } from "../kernel_spec.ts";
import source from "./segment_blocks.wgsl" with { type: "text" };

/** WGSL text of `find_block`; needs `STEP_WGSL` in front. */
export const SEGMENT_BLOCKS_WGSL: string = source;

/** Rows of a block, except a segment's last. */
export const BLOCK_ROWS = 16;

/** At least as many blocks as the step has: each segment starts a block of its own. */
export function mostBlocks({ rows, segments }: StepShape): number {
  return Math.min(rows, Math.floor(rows / BLOCK_ROWS) + segments);
}
