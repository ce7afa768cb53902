/** KV pages with reference counts; numbers only, the bytes are the GPU's. @module */

/**
 * The pages of all arenas. A page is free while nobody holds it; holders share it read-only, save for the
 * one that appends behind what the others know of.
 */
export class KvPages {
  readonly #holders: Uint32Array[];
  readonly #free: number[][];
  readonly #onFree: (arena: number, page: number) => void;
  #changes = 0;

  /** `counts` are the pages of each arena; `onFree` hears of each page that its last holder gave back. */
  constructor(counts: readonly number[], onFree: (arena: number, page: number) => void = () => {}) {
    this.#holders = counts.map((count) => new Uint32Array(count));
    this.#free = counts.map((count) => Array.from({ length: count }, (_, i) => count - 1 - i));
    this.#onFree = onFree;
  }

  /** Grows whenever a page gets or loses a holder. */
  get changes(): number {
    return this.#changes;
  }

  /** How many arenas there are. */
  get arenas(): number {
    return this.#free.length;
  }

  /** Pages of an arena, or of all. */
  total(arena?: number): number {
    return arena === undefined
      ? this.#holders.reduce((sum, holders) => sum + holders.length, 0)
      : this.#holders[arena]!.length;
  }

  /** Pages of an arena that nobody holds. */
  free(arena: number): number {
    return this.#free[arena]!.length;
  }

  /** How many hold a page. */
  holders(arena: number, page: number): number {
    return this.#holders[arena]![page]!;
  }

  /** Whether `count` pages are free in `arena`. */
  canAllocate(arena: number, count: number): boolean {
    return count <= this.free(arena);
  }

  /**
   * Takes `count` free pages, each with one holder.
   * @throws {RangeError} if there are fewer; nothing is taken then
   */
  allocate(arena: number, count: number): number[] {
    if (!this.canAllocate(arena, count)) {
      throw new RangeError(
        `Cannot allocate ${count} KV pages in arena ${arena}: ${this.free(arena)} are free`,
      );
    }
    this.#changes++;
    const pages = Array.from({ length: count }, () => this.#free[arena]!.pop()!);
    for (const page of pages) this.#holders[arena]![page] = 1;
    return pages;
  }

  /**
   * Adds a holder to each page.
   * @throws {RangeError} if one is free; none is changed then
   */
  share(arena: number, pages: readonly number[]): void {
    this.#checkHeld(arena, pages, "share");
    this.#changes++;
    for (const page of pages) this.#holders[arena]![page]!++;
  }

  /**
   * Takes a holder from each page; pages without one are free.
   * @throws {RangeError} if one is free already; none is changed then
   */
  release(arena: number, pages: readonly number[]): void {
    this.#checkHeld(arena, pages, "release");
    this.#changes++;
    for (const page of pages) {
      if (--this.#holders[arena]![page]! > 0) continue;
      this.#free[arena]!.push(page);
      this.#onFree(arena, page);
    }
  }

  /**
   * The pages of a sequence that goes its own way after the first `tokens` tokens of `pages`: those that are
   * full are shared, and one that is not is replaced by a new page, into which `copy` puts its contents.
   * @throws {RangeError} if a new page is needed and none is free; nothing is changed then
   */
  fork(
    { arena, pages, tokens }: {
      readonly arena: number;
      readonly pages: readonly number[];
      readonly tokens: number;
    },
    pageTokens: number,
    copy: (from: number, to: number) => void,
  ): number[] {
    const full = pages.slice(0, Math.floor(tokens / pageTokens));
    const partial = tokens % pageTokens ? pages[full.length] : undefined;
    const own = partial === undefined ? [] : this.allocate(arena, 1);
    this.share(arena, full);
    if (partial !== undefined) copy(partial, own[0]!);
    return [...full, ...own];
  }

  #checkHeld(arena: number, pages: readonly number[], verb: string): void {
    const holders = this.#holders[arena];
    const wrong = pages.find((page) => !holders?.[page]);
    if (wrong !== undefined) {
      throw new RangeError(`Cannot ${verb} KV page ${wrong} of arena ${arena}: nobody holds it`);
    }
  }
}
