/**
 * Has the system read experts that a later layer will probably miss, while the GPU computes those of this one. What is
 * fetched lies in the page cache, so that no slot is lost to a wrong guess; or, if asked for, in slots that are free.
 * No token can change by either.
 * @module
 */
import type { Lookahead } from "./lookahead.ts";

/**
 * "auto" stops by itself while too few of the missing experts are foreseen, "on" never does; "slots" is as "auto" and
 * loads into free slots.
 */
export type ReadAheadMode = "auto" | "on" | "slots" | "off";

/** What it works with. */
export interface ReadAheadParts {
  readonly lookahead: Lookahead;
  /** Elements of a row of the residual stream. */
  readonly hidden: number;
  readonly isResident: (layer: number, expert: number) => boolean;
  /** Tells the system that an expert will be read soon; returns the bytes, 0 where it cannot be told. */
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
  /** Experts hinted; those loaded into slots are not among them. */
  hints: number;
  hintBytes: number;
  /** Of these, and of those loaded, the ones that their layer then asked for. */
  hintsUsed: number;
  /** Experts that were missed, or would have been, in layers that had been looked ahead to. */
  hintsWanted: number;
}

/** Most rows that are worth the host's time: one row is `experts` x `hidden` products. */
const MOST_ROWS = 4;
/** Missed experts over which the recall is taken. */
const SAMPLE = 256;
/** Recall of the missed experts below which it does not pay. */
const LEAST_RECALL = 0.4;
/** Stops after which it is tried again. */
const PAUSE = 2000;

/** The guesses of the step that runs. Tell it of every layer, in order. */
export class ReadAhead {
  /** Totals since start. */
  readonly counters: ReadAheadCounters = { hints: 0, hintBytes: 0, hintsUsed: 0, hintsWanted: 0 };
  readonly #parts: ReadAheadParts;
  readonly #distance: number;
  /** By layer: what was guessed for it in this step and was not resident. */
  readonly #guessed = new Map<number, ReadonlySet<number>>();
  #sampleUsed = 0;
  #sampleWanted = 0;
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
    for (const expert of absent) {
      if (mode === "slots" && await load(target, expert)) continue;
      this.counters.hints++;
      this.counters.hintBytes += hint(target, expert);
    }
  }

  #count(used: number, wanted: number): void {
    this.counters.hintsUsed += used;
    this.counters.hintsWanted += wanted;
    this.#sampleUsed += used;
    this.#sampleWanted += wanted;
    if (this.#sampleWanted < SAMPLE) return;
    const recall = this.#sampleUsed / this.#sampleWanted;
    if (this.#parts.mode !== "on" && recall < LEAST_RECALL) this.#pause = PAUSE;
    this.#sampleUsed = 0;
    this.#sampleWanted = 0;
  }
}
