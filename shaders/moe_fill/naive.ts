/** Paging by plain loops: what `resolve.wgsl` does to a layer. @module */
import { NONE } from "../common/step.ts";
import { type FillShape, resolveState, wavesOf } from "./moe_fill.ts";

/** What one wave comes to. */
export interface NaiveWave {
  /** [experts + 1]: slot of each expert of the wave, else NONE. */
  readonly table: number[];
  /** (place, slot) of each expert to be copied. */
  readonly fills: readonly (readonly [place: number, slot: number])[];
  readonly moreWaves: boolean;
}

/** One layer's slots and what they were used for. */
export class NaiveSlots {
  /** As `FILL_COUNTERS`. */
  readonly counters = { hits: 0, misses: 0, evictions: 0, waves: 0 };
  readonly #shape: FillShape;
  readonly #holder: (number | null)[];
  readonly #lastUse: number[];
  readonly #left = new Set<number>();
  #clock: number;

  constructor(shape: FillShape) {
    this.#shape = shape;
    this.#holder = Array(shape.slots).fill(null);
    this.#lastUse = Array(shape.slots).fill(0);
    this.#clock = resolveState(shape)[0]!;
  }

  /** All waves of a step whose rows chose `ids`, [rows, topK + 1]; `places` [experts]: NONE cannot be had. */
  step(ids: readonly number[], places: readonly number[], sharedSlot: number | null): NaiveWave[] {
    const { experts, topK } = this.#shape;
    const had = ids.filter((id) => id < experts && places[id] !== NONE);
    this.#left.clear();
    for (const id of had.sort((a, b) => a - b)) this.#left.add(id);
    const waves = wavesOf(this.#shape, ids.length / (topK + 1));
    return Array.from({ length: waves }, (_, wave) => ({
      ...this.#wave(places, wave === 0 ? sharedSlot : null),
      moreWaves: wave + 1 < waves,
    }));
  }

  /** The state as `resolveState` lays it out; last uses of slots never used are 0. */
  state(): number[] {
    const { experts } = this.#shape;
    const left = Array.from({ length: experts }, (_, id) => Number(this.#left.has(id)));
    return [this.#clock, ...this.#holder.map((id) => id ?? NONE), ...this.#lastUse, ...left];
  }

  #wave(places: readonly number[], sharedSlot: number | null): Omit<NaiveWave, "moreWaves"> {
    const { slots, experts } = this.#shape;
    const wanted = [...this.#left];
    const hits = wanted.filter((id) => this.#holder.includes(id));
    const missing = wanted.filter((id) => !this.#holder.includes(id));
    const taken = missing.slice(0, slots - hits.length);
    const fills = taken.map((id) => {
      const slot = this.#victim([...hits, ...taken]);
      if (this.#holder[slot] !== null) this.counters.evictions++;
      this.#holder[slot] = id;
      return [places[id]!, slot] as const;
    });
    const table: number[] = Array(experts).fill(NONE);
    for (const id of wanted.filter((id) => hits.includes(id) || taken.includes(id))) {
      const slot = this.#holder.indexOf(id);
      table[id] = slot;
      this.#lastUse[slot] = ++this.#clock;
      this.#left.delete(id);
    }
    this.counters.hits += hits.length;
    this.counters.misses += taken.length;
    this.counters.waves += Number(missing.length > 0);
    return { table: [...table, sharedSlot ?? NONE], fills };
  }

  /** The lowest free slot, else the one used longest ago that does not hold one of `kept`. */
  #victim(kept: readonly number[]): number {
    const free = this.#holder.indexOf(null);
    if (free >= 0) return free;
    let best = -1;
    this.#holder.forEach((id, slot) => {
      if (kept.includes(id!)) return;
      if (best < 0 || this.#lastUse[slot]! < this.#lastUse[best]!) best = slot;
    });
    return best;
  }
}
