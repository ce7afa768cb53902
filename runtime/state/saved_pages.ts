/** KV pages that were copied to RAM, each once however many checkpoints hold it. @module */
import type { KvPages } from "./kv_pages.ts";
import type { Saved, StateCopies } from "./state_copies.ts";

/** Most bytes of pages that are copied as one: a copy needs a buffer of its size on the way. */
const BATCH_BYTES = 64 * 2 ** 20;

/** A copy in RAM, or the place for one that is under way. */
export interface SavedPage {
  /** Null until the copy has arrived. */
  bytes: Saved | null;
  /** The copy did not arrive and never will. */
  failed: boolean;
  holders: number;
  /** The GPU page it was made of. */
  readonly source: number;
}

/** Pages of one checkpoint on the GPU. */
export interface PageRun {
  readonly arena: number;
  readonly pages: readonly number[];
}

/**
 * Copies in RAM by the page they were made of. Only pages that no running sequence can still append to are
 * saved (`isHeldElsewhere`), so a copy stays true until the page is freed.
 */
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
  cost({ arena, pages }: PageRun): number {
    const missing = pages.filter((page) => !this.#bySource.has(key(arena, page)));
    return missing.length * this.#copies.pageBytes;
  }

  /** Copies of a run, its bytes arriving later; pages that are copied already are shared. */
  save({ arena, pages }: PageRun): SavedPage[] {
    const missing: { readonly page: number; readonly saved: SavedPage }[] = [];
    const saved = pages.map((page): SavedPage => {
      const source = key(arena, page);
      const known = this.#bySource.get(source);
      if (known) {
        known.holders++;
        return known;
      }
      const fresh = { bytes: null, failed: false, holders: 1, source };
      this.#bySource.set(source, fresh);
      missing.push({ page, saved: fresh });
      return fresh;
    });
    this.#count += missing.length;
    const batch = Math.max(1, Math.floor(BATCH_BYTES / this.#copies.pageBytes));
    for (let i = 0; i < missing.length; i += batch) this.#fetch(arena, missing.slice(i, i + batch));
    return saved;
  }

  /** Gives copies back. */
  release(pages: readonly SavedPage[]): void {
    for (const page of pages) {
      if (--page.holders > 0) continue;
      this.#count--;
      page.bytes = null;
      this.#unlink(page);
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
    this.#unlink(page);
  }

  #unlink(page: SavedPage): void {
    if (this.#bySource.get(page.source) === page) this.#bySource.delete(page.source);
  }
}

/**
 * Whether every page of a run has a holder that stays, so that moving it to RAM would free none; `leaving`
 * counts the holders of each page that may go. A sequence that may still append to a page holds all before it.
 */
export function isHeldElsewhere(
  pages: KvPages,
  run: PageRun,
  leaving: ReadonlyMap<number, number>,
): boolean {
  return run.pages.every((page) => pages.holders(run.arena, page) > (leaving.get(page) ?? 0));
}

function key(arena: number, page: number): number {
  return arena * 2 ** 32 + page;
}
