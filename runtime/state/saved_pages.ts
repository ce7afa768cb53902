/** KV pages that were copied to RAM, each once however many checkpoints hold it. @module */
import type { KvPages } from "./kv_pages.ts";
import type { Saved, StateCopies } from "./state_copies.ts";

/** A copy in RAM, or the place for one that is under way. */
export interface SavedPage {
  /** Null until the copy has arrived. */
  bytes: Saved | null;
  /** The copy did not arrive and never will. */
  failed: boolean;
  holders: number;
  /** The GPU page it is a copy of, while that lives and is full. */
  readonly source: number | null;
}

/** Pages of one checkpoint on the GPU; all but the last are full, and the last is where `full` counts it. */
export interface PageRun {
  readonly arena: number;
  readonly pages: readonly number[];
  /** How many of them are full and so never change. */
  readonly full: number;
}

/** Copies in RAM by the page they were made of. */
export class SavedPages {
  readonly #copies: StateCopies;
  readonly #bySource = new Map<number, SavedPage>();
  #count = 0;

  constructor(copies: StateCopies) {
    this.#copies = copies;
  }

  /** Bytes held. */
  get bytes(): number {
    return this.#count * this.#copies.pageBytes;
  }

  /** Bytes that `save(run)` would add. */
  cost({ arena, pages, full }: PageRun): number {
    const known = pages.filter((page, i) => i < full && this.#bySource.has(key(arena, page)));
    return (pages.length - known.length) * this.#copies.pageBytes;
  }

  /** Copies of a run, its bytes arriving later; pages that are copied already are shared. */
  save({ arena, pages, full }: PageRun): SavedPage[] {
    const missing: { readonly page: number; readonly saved: SavedPage }[] = [];
    const saved = pages.map((page, i): SavedPage => {
      const source = i < full ? key(arena, page) : null;
      const known = source === null ? undefined : this.#bySource.get(source);
      if (known) {
        known.holders++;
        return known;
      }
      const fresh = { bytes: null, failed: false, holders: 1, source };
      if (source !== null) this.#bySource.set(source, fresh);
      missing.push({ page, saved: fresh });
      return fresh;
    });
    this.#count += missing.length;
    if (missing.length) this.#fetch(arena, missing);
    return saved;
  }

  /** Gives copies back. */
  release(pages: readonly SavedPage[]): void {
    for (const page of pages) {
      if (--page.holders > 0) continue;
      this.#count--;
      page.bytes = null;
      if (page.source !== null && this.#bySource.get(page.source) === page) {
        this.#bySource.delete(page.source);
      }
    }
  }

  /** Tells that a GPU page has lost its last holder and will be written anew. */
  forget(arena: number, page: number): void {
    this.#bySource.delete(key(arena, page));
  }

  #fetch(
    arena: number,
    missing: readonly { readonly page: number; readonly saved: SavedPage }[],
  ): void {
    this.#copies.savePages(arena, missing.map(({ page }) => page)).then(
      (bytes) =>
        missing.forEach(({ saved }, i) => {
          if (saved.holders > 0) saved.bytes = bytes[i]!;
        }),
      () => missing.forEach(({ saved }) => this.#fail(saved)),
    );
  }

  #fail(page: SavedPage): void {
    page.failed = true;
    if (page.source !== null && this.#bySource.get(page.source) === page) {
      this.#bySource.delete(page.source);
    }
  }
}

/** Whether no page of a run would be freed by one holder less, given how many of the holders may go. */
export function isHeldElsewhere(
  pages: KvPages,
  run: { readonly arena: number; readonly pages: readonly number[] },
  leaving: ReadonlyMap<number, number>,
): boolean {
  return run.pages.every((page) => pages.holders(run.arena, page) > (leaving.get(page) ?? 0));
}

function key(arena: number, page: number): number {
  return arena * 2 ** 32 + page;
}
