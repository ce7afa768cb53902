/** Several long computations side by side on one thread. @module */
import type { Steps } from "./steps.ts";

/** How long one computation goes on before the next has its turn. */
const TURN_MS = 16;

/** Told how a computation ended. */
export interface Settle<Result> {
  readonly done: (result: Result) => void;
  readonly failed: (error: unknown) => void;
}

/**
 * Computations that take turns, so that none waits for another's end. After each round the thread sees to its messages:
 * what they add has its first turn in the next round, and what they cancel goes no further.
 */
export class Turns {
  readonly #jobs = new Map<number, () => boolean>();
  readonly #turnMs: number;
  #working = false;

  /** @param turnMs 0 makes a turn of every step. */
  constructor(turnMs = TURN_MS) {
    this.#turnMs = turnMs;
  }

  /** Begins a computation. */
  add<Result>(id: number, steps: Steps<Result>, settle: Settle<Result>): void {
    this.#jobs.set(id, () => this.#turn(steps, settle));
    if (!this.#working) void this.#work();
  }

  /** Gives a computation up, without a word; one that has ended is none of its concern. */
  cancel(id: number): void {
    this.#jobs.delete(id);
  }

  async #work(): Promise<void> {
    this.#working = true;
    while (this.#jobs.size > 0) {
      for (const [id, turn] of [...this.#jobs]) {
        if (this.#jobs.has(id) && !turn()) this.#jobs.delete(id);
      }
      if (this.#jobs.size > 0) await new Promise((messages) => setTimeout(messages));
    }
    this.#working = false;
  }

  /** Whether more turns are needed. */
  #turn<Result>(steps: Steps<Result>, { done, failed }: Settle<Result>): boolean {
    const end = performance.now() + this.#turnMs;
    try {
      do {
        const step = steps.next();
        if (step.done) {
          done(step.value);
          return false;
        }
      } while (performance.now() < end);
      return true;
    } catch (error) {
      failed(error);
      return false;
    }
  }
}
