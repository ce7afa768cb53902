/** How many requests may be in the house at once. @module */
import { RequestError } from "./errors.ts";

/** A bounded number of requests, running and waiting; the one that comes too many is told so at once. */
export class Admission {
  readonly #limit: number;
  readonly #onRefusal: () => void;
  #active = 0;
  #finished = 0;
  #busySeconds = 0;

  constructor(limit: number, onRefusal: () => void) {
    this.#limit = limit;
    this.#onRefusal = onRefusal;
  }

  /** Whether the next request would be refused. */
  get full(): boolean {
    return this.#active >= this.#limit;
  }

  /**
   * Takes a place; call what it returns when the answer has ended, however it ended.
   * @throws {RequestError} 429 when there is no place.
   */
  enter(): () => void {
    if (this.full) {
      this.#onRefusal();
      throw new RequestError(
        429,
        `Cannot accept the request: ${this.#limit} are in progress already, try again later`,
        { code: "overloaded", retryAfterSeconds: this.#retryAfterSeconds() },
      );
    }
    this.#active++;
    const startedAt = performance.now();
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#active--;
      this.#finished++;
      this.#busySeconds += (performance.now() - startedAt) / 1000;
    };
  }

  /** Takes a place for as long as `work` takes. @throws {RequestError} 429 when there is no place. */
  async around<Result>(work: () => Promise<Result>): Promise<Result> {
    const leave = this.enter();
    try {
      return await work();
    } finally {
      leave();
    }
  }

  /** When a place is likely to be free: a mean request's time, shared by those in progress. */
  #retryAfterSeconds(): number {
    const mean = this.#finished === 0 ? 2 : this.#busySeconds / this.#finished;
    return Math.min(30, Math.max(1, mean / this.#limit));
  }
}
