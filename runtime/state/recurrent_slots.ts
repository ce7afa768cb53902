/** Slots of recurrent state; numbers only, the bytes are the GPU's. @module */

/** The slots of running sequences and checkpoints; each has one holder. */
export class RecurrentSlots {
  readonly #free: number[];
  readonly #held = new Set<number>();

  constructor(count: number) {
    this.#free = Array.from({ length: count }, (_, i) => count - 1 - i);
  }

  /** Slots in all. */
  get total(): number {
    return this.#free.length + this.#held.size;
  }

  /** Slots that nobody holds. */
  get free(): number {
    return this.#free.length;
  }

  /** Whether a slot is free. */
  canAllocate(): boolean {
    return this.#free.length > 0;
  }

  /** @throws {RangeError} if none is free */
  allocate(): number {
    const slot = this.#free.pop();
    if (slot === undefined) {
      throw new RangeError(`Cannot allocate a state slot: all ${this.total} are held`);
    }
    this.#held.add(slot);
    return slot;
  }

  /** @throws {RangeError} if nobody holds it */
  release(slot: number): void {
    if (!this.#held.delete(slot)) {
      throw new RangeError(`Cannot release state slot ${slot}: nobody holds it`);
    }
    this.#free.push(slot);
  }
}
