/** The host's view of `step.wgsl`: offsets and sizes of its structs, in u32 words. @module */
import source from "./step.wgsl" with { type: "text" };

/** WGSL text of the shared structs. */
export const STEP_WGSL: string = source;

/** "No slot": zeros are read, nothing is written. */
export const NONE = 0xffffffff;

/** Words of the `Step` header and the place of each field. */
export const STEP = {
  words: 8,
  rows: 0,
  segments: 1,
  headRows: 2,
  stopped: 3,
  moreWaves: 5,
} as const;

/** Words of one `Row`. */
export const ROW = { words: 4, cacheIndex: 0, segment: 1, token: 2 } as const;

/** Words of one `Segment`. */
export const SEGMENT = {
  words: 8,
  firstRow: 0,
  rowCount: 1,
  context: 2,
  pageTable: 3,
  stateRead: 4,
  stateWrite: 5,
  arena: 6,
  sampler: 7,
} as const;
