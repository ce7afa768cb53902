/**
 * Has the system read experts that a later layer will probably miss, while the GPU computes those of this one. What is
 * fetched lies in the page cache, so that no slot is lost to a wrong guess; or, if asked for, in slots that are free.
 * No token can change by either.
 * @module
 */
import type { Lookahead } from "./lookahead.ts";

/**
 * "auto" stops by itself while too few of the missing experts are foreseen, or hardly any has to come from the disk; "on"
 * never does; "slots" is as "auto" and
 * loads into free slots.
 */
export type ReadAheadMode = "auto" | "on" | "slots" | "off";

/** What it works with. */
export interface ReadAheadParts {
  readonly lookahead: Lookahead;
  /** Elements of a row of the residual stream. */
  readonly hidden: number;
  readonly isResident: (layer: number, expert: number) => boolean;
  /** Tells the system that an expert will be read soon; returns the bytes, 0 if the page cache has them. */
  readonly hint: (layer: number, expert: number) => number;
  /** Loads an expert if its layer has a free slot, and tells whether it had; for "slots". */
  readonly load: (layer: number, expert: number) => Promise<boolean>;
  readonly mode: Exclude<ReadAheadMode, "off">;
  /**
   * Layers from the input that is looked at to the router that is run: 1 if absent. 0 is the control: nothing is
   * hinted, and every expert that was chosen must have been foreseen.
   */
  readonly distance?: number;
}

/** Totals since start. */
export interface ReadAheadCounters {
  /** Experts that were guessed and not resident. */
  guesses: number;
  /** Of these the ones that their layer then asked for. */
  guessesUsed: number;
  /** Experts that were missed, or would have been, in layers that had been looked ahead to. */
  guessesWanted: number;
  /** Guessed experts that the system was told to read, and their bytes. */
  hints: number;
  hintBytes: number;
}

/** Most rows that are worth the host's time: one row is `experts` x `hidden` products. */
const MOST_ROWS = 4;
/** Missed experts over which the recall is taken. */
const SAMPLE = 256;
/** Recall of the missed experts below which it does not pay. */
const LEAST_RECALL = 0.4;
/** Share of the guessed experts that must come from the disk: telling of others gains nothing. */
const LEAST_COLD = 0.05;
/** Stops after which it is tried again. */
const PAUSE = 2000;

/** The guesses of the step that runs. Tell it of every layer, in order. */
export class ReadAhead {
  /** Totals since start. */
  readonly counters: ReadAheadCounters = {
    guesses: 0,
    guessesUsed: 0,
    guessesWanted: 0,
    hints: 0,
    hintBytes: 0,
  };
  readonly #parts: ReadAheadParts;
  readonly #distance: number;
  /** By layer: what was guessed for it in this step and was not resident. */
  readonly #guessed = new Map<number, ReadonlySet<number>>();
  /** The counters when the sample began. */
  #before: ReadAheadCounters = { ...this.counters };
  #pause = 0;

  constructor(parts: ReadAheadParts) {
    this.#parts = parts;
    this.#distance = parts.distance ?? 1;
  }

  /** Whether it looks ahead in steps of so many rows, now. */
  wants(rows: number): boolean {
    return rows <= MOST_ROWS && (this.#pause === 0 || --this.#pause === 0);
  }

  /** A layer chose these experts, and none of the missing ones is loaded yet. */
  chose(layer: number, ids: Iterable<number>): void {
    const guessed = this.#guessed.get(layer);
    if (!guessed) return;
    this.#guessed.delete(layer);
    const missed = [...new Set(ids)].filter((id) =>
      guessed.has(id) || !this.#parts.isResident(layer, id)
    );
    this.#count(missed.filter((id) => guessed.has(id)).length, missed.length);
  }

  /**
   * The experts that a layer chose are loaded: looks ahead from there. `h`, f32 [rows, hidden], is what it routed from.
   */
  async look(layer: number, ids: Iterable<number>, h: Float32Array): Promise<void> {
    const { lookahead, hidden, isResident, hint, load, mode } = this.#parts;
    const target = layer + this.#distance;
    if (target >= lookahead.layers) return;
    const guess = lookahead.guess(target, h, hidden);
    if (this.#distance === 0) {
      const chosen = [...new Set(ids)];
      return this.#count(chosen.filter((id) => guess.has(id)).length, chosen.length);
    }
    const absent = [...guess].filter((id) => !isResident(target, id));
    this.#guessed.set(target, new Set(absent));
    this.counters.guesses += absent.length;
    for (const expert of absent) {
      if (mode === "slots" && await load(target, expert)) continue;
      const bytes = hint(target, expert);
      if (bytes > 0) this.counters.hints++;
      this.counters.hintBytes += bytes;
    }
  }

  #count(used: number, wanted: number): void {
    this.counters.guessesUsed += used;
    this.counters.guessesWanted += wanted;
    const { guesses, hints, guessesUsed, guessesWanted } = this.#before;
    const sample = this.counters.guessesWanted - guessesWanted;
    if (sample < SAMPLE) return;
    const isPoor = this.counters.guessesUsed - guessesUsed < LEAST_RECALL * sample;
    const isWarm = this.#parts.mode === "auto" &&
      this.counters.hints - hints < LEAST_COLD * (this.counters.guesses - guesses);
    if (this.#parts.mode !== "on" && (isPoor || isWarm)) this.#pause = PAUSE;
    this.#before = { ...this.counters };
  }
}
