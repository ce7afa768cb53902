/** A stream of values pushed from callbacks and pulled by one reader. @module */

/** Unbounded on purpose: one generation's events are bounded by its token limit. */
export class EventQueue<T> implements AsyncIterableIterator<T> {
  readonly #values: T[] = [];
  #ended = false;
  #error: unknown = null;
  #wake: (() => void) | null = null;

  /** Whether everything that was pushed has been read. */
  get isEmpty(): boolean {
    return this.#values.length === 0;
  }

  /** Appends a value; ignored after the end. */
  push(value: T): void {
    if (this.#ended) return;
    this.#values.push(value);
    this.#notify();
  }

  /** Ends the stream, after what was pushed, with an error if one is given. */
  end(error?: unknown): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error ?? null;
    this.#notify();
  }

  /** The next value, waiting for it. */
  async next(): Promise<IteratorResult<T>> {
    while (this.#values.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#values.length > 0) return { value: this.#values.shift()!, done: false };
    const error = this.#error;
    this.#error = null;
    if (error !== null) throw error;
    return { value: undefined, done: true };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #notify(): void {
    this.#wake?.();
    this.#wake = null;
  }
}
