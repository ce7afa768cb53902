/** Byte-pair encoding of one long word in steps. The library does it in one go, for as long as seconds. @module */
import type { Steps } from "./steps.ts";

/** What is merged. */
export interface PairModel {
  readonly idOf: ReadonlyMap<string, number>;
  /** In the order of their ranks: two pieces, or both with a space between. */
  readonly merges: readonly (string | readonly [string, string])[];
}

/** Pairs that are looked at in one step: some milliseconds. */
const PAIRS_A_STEP = 8192;
/** Letters of the longest word: a rank and a place are one number in the heap. */
const MOST_LETTERS = 2 ** 24;
/** Two ids are one key among the ranks. */
const MOST_IDS = 2 ** 24;
/** Code points from here on are no letters of the byte alphabet. */
const LETTERS = 0x200;

/** Merges the neighbours of the lowest rank, from the left, until none are left to merge. */
export class PairMerger {
  /** By code point; -1 for what has no id. */
  readonly #letters: Int32Array;
  /** left * MOST_IDS + right -> rank. */
  readonly #ranks = new Map<number, number>();
  /** By rank. */
  readonly #merged: Int32Array;

  private constructor({ idOf, merges }: PairModel) {
    this.#letters = Int32Array.from(
      { length: LETTERS },
      (_, code) => idOf.get(String.fromCodePoint(code)) ?? -1,
    );
    this.#merged = new Int32Array(merges.length);
  }

  /** Null for merges of pieces that have no id: the library merges texts, and ids here would not do. */
  static open(model: PairModel): PairMerger | null {
    const merger = new PairMerger(model);
    for (const [rank, merge] of model.merges.entries()) {
      const [left, right] = typeof merge === "string" ? merge.split(" ", 2) : merge;
      const [a, b, both] = [left, right, `${left}${right}`].map((piece) => model.idOf.get(piece!));
      if (a === undefined || b === undefined || both === undefined) return null;
      if (a >= MOST_IDS || b >= MOST_IDS) return null;
      merger.#ranks.set(a * MOST_IDS + b, rank);
      merger.#merged[rank] = both;
    }
    return merger;
  }

  /** The ids of a word in the byte alphabet; null for one with a letter that has no id, or with too many. */
  *mergeSteps(word: string): Steps<number[] | null> {
    const letters = this.#idsOf(word);
    if (letters === null) return null;
    const chain = new Chain(letters);
    const heap = new Heap();
    const add = (place: number) => {
      const rank = this.#rankAt(chain, place);
      if (rank !== undefined) heap.push(rank * MOST_LETTERS + place);
    };
    for (let place = 0; place < word.length; place++) {
      if (place % PAIRS_A_STEP === PAIRS_A_STEP - 1) yield;
      add(place);
    }
    for (let taken = 1; heap.size > 0; taken++) {
      if (taken % PAIRS_A_STEP === 0) yield;
      const lowest = heap.pop();
      const place = lowest % MOST_LETTERS;
      const rank = (lowest - place) / MOST_LETTERS;
      // Its neighbour, or it itself, may have been merged since.
      if (this.#rankAt(chain, place) !== rank) continue;
      const before = chain.join(place, this.#merged[rank]!);
      if (before >= 0) add(before);
      add(place);
    }
    return chain.ids();
  }

  #idsOf(word: string): Int32Array | null {
    if (word.length > MOST_LETTERS) return null;
    const ids = new Int32Array(word.length);
    for (let i = 0; i < ids.length; i++) {
      const id = this.#letters[word.charCodeAt(i)] ?? -1;
      if (id < 0) return null;
      ids[i] = id;
    }
    return ids;
  }

  #rankAt(chain: Chain, place: number): number | undefined {
    const next = chain.next(place);
    if (next < 0) return undefined;
    return this.#ranks.get(chain.id(place) * MOST_IDS + chain.id(next));
  }
}

/** A word's pieces, each at the place of its first letter. */
class Chain {
  readonly #ids: Int32Array;
  readonly #next: Int32Array;
  readonly #before: Int32Array;

  constructor(ids: Int32Array) {
    this.#ids = ids;
    this.#next = new Int32Array(ids.length);
    this.#before = new Int32Array(ids.length);
    for (let i = 0; i < ids.length; i++) {
      this.#next[i] = i + 1 < ids.length ? i + 1 : -1;
      this.#before[i] = i - 1;
    }
  }

  id(place: number): number {
    return this.#ids[place]!;
  }

  /** The place of the next piece; -1 at the end, and where no piece begins any more. */
  next(place: number): number {
    return this.#next[place]!;
  }

  /** Makes one piece of those at `place` and after it; returns the place of the piece before, or -1. */
  join(place: number, id: number): number {
    const gone = this.#next[place]!;
    const after = this.#next[gone]!;
    this.#ids[place] = id;
    this.#next[place] = after;
    if (after >= 0) this.#before[after] = place;
    this.#next[gone] = -1;
    return this.#before[place]!;
  }

  ids(): number[] {
    const ids: number[] = [];
    for (let place = this.#ids.length > 0 ? 0 : -1; place >= 0; place = this.#next[place]!) {
      ids.push(this.#ids[place]!);
    }
    return ids;
  }
}

/** Numbers of which the least is taken first. */
class Heap {
  readonly #values: number[] = [];

  get size(): number {
    return this.#values.length;
  }

  push(value: number): void {
    const values = this.#values;
    let at = values.push(value) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (values[parent]! <= value) break;
      values[at] = values[parent]!;
      at = parent;
    }
    values[at] = value;
  }

  /** Of at least one. */
  pop(): number {
    const values = this.#values;
    const least = values[0]!;
    const value = values.pop()!;
    const { length } = values;
    if (length === 0) return least;
    let at = 0;
    for (let child = 1; child < length; child = 2 * at + 1) {
      if (child + 1 < length && values[child + 1]! < values[child]!) child++;
      if (values[child]! >= value) break;
      values[at] = values[child]!;
      at = child;
    }
    values[at] = value;
    return least;
  }
}
