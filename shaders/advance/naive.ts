/** The passage from one decode step to the next in plain terms. @module */

/** One sequence of a decode step. */
export interface NaiveRunning {
  readonly token: number;
  /** Position of the step's row in the cache; also the tokens before it. */
  readonly cacheIndex: number;
  readonly stateRead: number | null;
  /** Null writes none. */
  readonly stateWrite: number | null;
  /** Tokens that it may still get; 0 once it has ended. */
  readonly left: number;
  readonly stopIds: readonly number[];
}

/** The sequences at the next step, and whether all have ended. */
export function advanceNaive(
  list: readonly NaiveRunning[],
  samples: readonly { readonly id: number; readonly bad: boolean }[],
): { readonly list: readonly NaiveRunning[]; readonly stopped: boolean } {
  const next = list.map((running, i): NaiveRunning => {
    const { id, bad } = samples[i]!;
    if (running.left === 0) return running;
    const ends = bad || running.left === 1 || running.stopIds.includes(id);
    return {
      ...running,
      token: id,
      cacheIndex: running.cacheIndex + 1,
      stateRead: running.stateWrite,
      stateWrite: ends ? null : running.stateWrite,
      left: ends ? 0 : running.left - 1,
    };
  });
  return { list: next, stopped: next.every(({ left }) => left === 0) };
}
