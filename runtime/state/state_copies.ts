/** What the state cache asks of whoever holds the bytes. @module */

/** Bytes that left the GPU, or the place for them. */
export type Saved = Uint8Array<ArrayBuffer>;

/**
 * Copies of recurrent slots and KV pages. A call takes effect at once in the order of calls and steps: a slot or
 * page may be handed to another as soon as the call has returned. Only the bytes of a `save` come later.
 */
export interface StateCopies {
  /** Bytes of one recurrent slot, all layers. */
  readonly stateBytes: number;
  /** Bytes of one KV page, all layers. */
  readonly pageBytes: number;
  /** The bytes of a slot. */
  saveState(slot: number): Promise<Saved>;
  /** Fills a slot. */
  loadState(slot: number, bytes: Saved): void;
  /** The bytes of each page. */
  savePages(arena: number, pages: readonly number[]): Promise<readonly Saved[]>;
  /** Fills pages, one element of `bytes` each. */
  loadPages(arena: number, pages: readonly number[], bytes: readonly Saved[]): void;
  /** Copies a page within an arena. */
  copyPage(arena: number, from: number, to: number): void;
}
