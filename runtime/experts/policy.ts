/** Which resident expert of a layer gives way. @module */

/** Keeps the order of use of one layer's slots. One instance a layer: layers never compete. */
export interface EvictionPolicy {
  /** The expert in this slot was used, or has just come in. */
  touched(slot: number, expert: number): void;
  /** One of the slots for which `mayEvict` is true, or undefined if it is true for none. */
  victim(mayEvict: (slot: number) => boolean): number | undefined;
}

/** Makes the policy of a layer with so many slots. */
export type PolicyFactory = (slots: number, layer: number) => EvictionPolicy;

/** The least recently used slot gives way; among slots never used the highest: a warm start fills the hottest first. */
export class LruPolicy implements EvictionPolicy {
  readonly #lastUse: Float64Array;
  #clock = 0;

  constructor(slots: number) {
    this.#lastUse = Float64Array.from({ length: slots }, (_, slot) => -slot);
  }

  /** See `EvictionPolicy`. */
  touched(slot: number): void {
    this.#lastUse[slot] = ++this.#clock;
  }

  /** See `EvictionPolicy`. */
  victim(mayEvict: (slot: number) => boolean): number | undefined {
    return lowest(this.#lastUse, mayEvict);
  }
}

/** The first slot with the lowest value among those that may be evicted, or undefined. */
export function lowest(
  values: Float64Array,
  mayEvict: (slot: number) => boolean,
): number | undefined {
  let best: number | undefined;
  let bestValue = Infinity;
  values.forEach((value, slot) => {
    if (value >= bestValue || !mayEvict(slot)) return;
    best = slot;
    bestValue = value;
  });
  return best;
}
