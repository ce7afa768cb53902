/** Builds the step buffers that kernels read, for tests. @module */
import { NONE, ROW, SEGMENT, STEP } from "../shaders/common/step.ts";

/** One sequence's rows in a test step; unnamed fields are 0, state slots default to NONE. */
export interface TestSegment {
  readonly rows: number;
  readonly context?: number;
  readonly pageTable?: number;
  readonly stateRead?: number;
  readonly stateWrite?: number;
  readonly arena?: number;
  readonly sampler?: number;
}

/** The `step`, `rows` and `segments` buffers of a step made of `list`. */
export function stepBuffers(list: readonly TestSegment[]): {
  step: Uint32Array<ArrayBuffer>;
  rows: Uint32Array<ArrayBuffer>;
  segments: Uint32Array<ArrayBuffer>;
} {
  const total = list.reduce((sum, s) => sum + s.rows, 0);
  const step = new Uint32Array(STEP.words);
  const rows = new Uint32Array(total * ROW.words);
  const segments = new Uint32Array(list.length * SEGMENT.words);
  step[STEP.rows] = total;
  step[STEP.segments] = list.length;
  step[STEP.headRows] = list.length;
  let first = 0;
  list.forEach((s, i) => {
    const context = s.context ?? 0;
    segments.set(
      [
        first,
        s.rows,
        context,
        s.pageTable ?? 0,
        s.stateRead ?? NONE,
        s.stateWrite ?? NONE,
        s.arena ?? 0,
        s.sampler ?? 0,
      ],
      i * SEGMENT.words,
    );
    for (let r = 0; r < s.rows; r++) {
      rows[(first + r) * ROW.words + ROW.cacheIndex] = context + r;
      rows[(first + r) * ROW.words + ROW.segment] = i;
    }
    first += s.rows;
  });
  return { step, rows, segments };
}
