/**
 * Cuts the experts that a step needs in one layer into waves that fit the slots. Which experts share a
 * wave depends on what is resident; what is computed does not, and the sums are formed after the last one.
 * @module
 */

/** What planning asks of a pool. */
export interface Residency {
  readonly experts: number;
  readonly slots: number;
  has(expert: number): boolean;
}

/** The experts of one wave, ascending; together at most as many as there are slots. */
export interface WavePlan {
  /** Resident already. */
  readonly hits: readonly number[];
  /** To be loaded. */
  readonly misses: readonly number[];
}

/**
 * Plans a layer. Every expert of `ids` is in exactly one wave; all resident ones are in the first, so
 * that none of them is evicted before it was used and each missing one is loaded once. The order of
 * `ids` and repetitions do not matter.
 * @throws {RangeError} for an id that is no expert.
 */
export function planWaves(ids: Iterable<number>, pool: Residency): WavePlan[] {
  const needed = [...new Set(ids)].sort((a, b) => a - b);
  const wrong = needed.find((id) => !Number.isInteger(id) || id < 0 || id >= pool.experts);
  if (wrong !== undefined) {
    throw new RangeError(`Cannot plan waves: found expert ${wrong} of ${pool.experts}`);
  }
  if (needed.length === 0) return [];
  const hits = needed.filter((id) => pool.has(id));
  const misses = needed.filter((id) => !pool.has(id));
  const first = pool.slots - hits.length;
  const waves: WavePlan[] = [{ hits, misses: misses.slice(0, first) }];
  for (let start = first; start < misses.length; start += pool.slots) {
    waves.push({ hits: [], misses: misses.slice(start, start + pool.slots) });
  }
  return waves;
}
