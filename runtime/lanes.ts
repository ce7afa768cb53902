/** Work that goes on side by side, but not all of it at once. @module */

/** Runs at most so many pieces of work at a time, in the order they came in; after a failure no more of them. */
export class Lanes {
  #free: number;
  readonly #waiting: (() => void)[] = [];
  #failure: { readonly error: unknown } | null = null;

  /** `count` at a time. */
  constructor(count: number) {
    this.#free = count;
  }

  /**
   * What `work` comes to, once a lane was free.
   * @throws {unknown} what it throws, or what an earlier one threw
   */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      if (this.#failure) throw this.#failure.error;
      return await work();
    } catch (error) {
      this.#failure ??= { error };
      throw error;
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#free++;
    }
  }
}

/**
 * As `Promise.all`, but a failure waits until the others have ended too: nothing goes on behind the caller's back.
 * @throws {unknown} the first failure in the order of the list
 */
export async function allEnded<T>(work: readonly Promise<T>[]): Promise<T[]> {
  return (await Promise.allSettled(work)).map((result) => {
    if (result.status === "rejected") throw result.reason;
    return result.value;
  });
}
