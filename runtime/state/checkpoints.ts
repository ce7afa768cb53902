/** Checkpoints: states of sequences at chosen lengths, found again by their tokens. @module */
import type { KvPages } from "./kv_pages.ts";
import { type Chain, type Keyed, PrefixIndex } from "./prefix_index.ts";
import type { RecurrentSlots } from "./recurrent_slots.ts";
import { isHeldElsewhere, type SavedPage, SavedPages } from "./saved_pages.ts";
import type { Saved, StateCopies } from "./state_copies.ts";

/** Where a checkpoint's recurrent state is. */
export type StatePlace =
  | { readonly kind: "slot"; readonly slot: number }
  | { readonly kind: "ram"; bytes: Saved | null; failed: boolean };

/** Where a checkpoint's KV pages are. */
export type KvPlace =
  | { readonly kind: "pages"; readonly arena: number; readonly pages: readonly number[] }
  | { readonly kind: "ram"; readonly pages: readonly SavedPage[] };

/** The state of a sequence after `tokens`. Read by others, changed by its cache only. */
export interface Checkpoint extends Keyed {
  state: StatePlace;
  kv: KvPlace;
  /** Sequences whose next step reads the state's slot; while there are any, everything stays in place. */
  pins: number;
}

/** What a cache of checkpoints works with. */
export interface CheckpointParts {
  readonly pages: KvPages;
  readonly slots: RecurrentSlots;
  readonly copies: StateCopies;
  /** Most bytes of RAM. */
  readonly byteLimit: number;
  /** Most checkpoints. */
  readonly maxEntries?: number;
  /** For tests. */
  readonly chain?: Chain;
}

/** Totals since start. */
export interface CheckpointCounters {
  /** Checkpoints made. */
  checkpoints: number;
  /** States moved from a GPU slot to RAM. */
  statesSaved: number;
  /** Checkpoints whose KV pages moved to RAM. */
  pagesSaved: number;
  /** Checkpoints given up for want of room. */
  checkpointsDropped: number;
}

const MAX_ENTRIES = 1024;

/**
 * Checkpoints in the order of their use. They live in GPU slots and pages until those are wanted for
 * something else, then in RAM up to the limit, then no more; the one unused for longest goes first.
 */
export class CheckpointCache {
  readonly #parts: CheckpointParts;
  readonly #index: PrefixIndex<Checkpoint>;
  /** Least recently used first. */
  readonly #entries = new Set<Checkpoint>();
  readonly #saved: SavedPages;
  /** What `availablePages` counted last in each arena, and at which state of things. */
  readonly #available = new Map<number, { readonly at: number; readonly count: number }>();
  #stateBytes = 0;
  #pinChanges = 0;

  /** Totals since start. */
  readonly counters: CheckpointCounters = {
    checkpoints: 0,
    statesSaved: 0,
    pagesSaved: 0,
    checkpointsDropped: 0,
  };

  /** The pages' `onFree` must reach `pageFreed`. */
  constructor(parts: CheckpointParts) {
    this.#parts = parts;
    this.#index = new PrefixIndex(parts.chain);
    this.#saved = new SavedPages(parts.copies);
  }

  /** How many checkpoints there are. */
  get size(): number {
    return this.#entries.size;
  }

  /** Bytes of RAM in use. */
  get ramBytes(): number {
    return this.#stateBytes + this.#saved.bytes;
  }

  /** All checkpoints, least recently used first. */
  entries(): Iterable<Checkpoint> {
    return this.#entries;
  }

  /** The owner's checkpoints from which `tokens` can go on, longest first; those still on their way to RAM are left out. */
  prefixes(tokens: ArrayLike<number>, owner: string): Checkpoint[] {
    const found = this.#index.prefixes(tokens, owner);
    for (const entry of found) if (entry.pins === 0 && hasFailed(entry)) this.drop(entry);
    return found.filter(isReady);
  }

  /** The first of `prefixes`, or null. */
  longestPrefix(tokens: ArrayLike<number>, owner: string): Checkpoint | null {
    return this.prefixes(tokens, owner)[0] ?? null;
  }

  /** Whether this very state is kept, ready or not; then it also counts as used. */
  has(tokens: ArrayLike<number>, owner: string): boolean {
    const same = this.#index.prefixes(tokens, owner).find((e) => e.tokens.length === tokens.length);
    if (same) this.touch(same);
    return same !== undefined;
  }

  /**
   * Keeps the state in `slot`, which becomes the cache's, and the pages, which are shared. The caller may go on
   * appending to the last page, behind `key.tokens`.
   */
  insert(key: Keyed, slot: number, kv: KvPlace & { kind: "pages" }): Checkpoint {
    return this.#add(key, { kind: "slot", slot }, kv);
  }

  /** Keeps a copy in RAM of the state in `slot`, which stays the caller's; null if RAM does not allow it. */
  insertSaved(key: Keyed, slot: number, kv: KvPlace & { kind: "pages" }): Checkpoint | null {
    const { copies } = this.#parts;
    if (!this.#makeRoom(() => copies.stateBytes, null)) return null;
    const entry = this.#add(key, { kind: "ram", bytes: null, failed: false }, kv);
    this.#stateBytes += copies.stateBytes;
    this.#fetchState(entry, slot);
    return entry;
  }

  /** Counts as used now. */
  touch(entry: Checkpoint): void {
    if (this.#entries.delete(entry)) this.#entries.add(entry);
  }

  /** Holds the checkpoint in place until `unpin`. */
  pin(entry: Checkpoint): void {
    entry.pins++;
    this.#pinChanges++;
  }

  /** @throws {RangeError} if it is not pinned */
  unpin(entry: Checkpoint): void {
    if (entry.pins === 0) throw new RangeError("Cannot unpin a checkpoint: it is not pinned");
    entry.pins--;
    this.#pinChanges++;
  }

  /** Slots that are free or would be after `freeSlot`. */
  availableSlots(): number {
    let count = this.#parts.slots.free;
    for (const entry of this.#entries) if (entry.pins === 0 && entry.state.kind === "slot") count++;
    return count;
  }

  /**
   * Pages of an arena that are free or would be after `freePages`. Asked at every step while a sequence waits for
   * room, so it counts anew only when a page's holders or a pin have changed.
   */
  availablePages(arena: number): number {
    const at = this.#parts.pages.changes + this.#pinChanges;
    const known = this.#available.get(arena);
    if (known?.at === at) return known.count;
    const count = this.#countAvailable(arena);
    this.#available.set(arena, { at, count });
    return count;
  }

  /** Sees to it that a slot is free, if need be by moving checkpoints to RAM; false if it cannot be. */
  freeSlot(): boolean {
    const { slots } = this.#parts;
    for (const entry of this.#entries) {
      if (slots.canAllocate()) return true;
      if (entry.pins === 0 && entry.state.kind === "slot") this.#saveState(entry, entry.state.slot);
    }
    return slots.canAllocate();
  }

  /** Sees to it that `count` pages are free, as `freeSlot`; where that cannot be, nothing is moved. */
  freePages(arena: number, count: number): boolean {
    const { pages } = this.#parts;
    if (pages.canAllocate(arena, count)) return true;
    if (this.availablePages(arena) < count) return false;
    for (const entry of this.#entries) {
      const { kv } = entry;
      if (kv.kind !== "pages" || kv.arena !== arena) continue;
      if (isHeldElsewhere(pages, kv, this.#leaving(arena))) continue;
      this.#savePages(entry, kv);
      if (pages.canAllocate(arena, count)) return true;
    }
    return false;
  }

  /** Brings the KV pages of a checkpoint back into free pages of `arena`, as many as it has. */
  restorePages(entry: Checkpoint, arena: number): KvPlace & { kind: "pages" } {
    if (entry.kv.kind === "pages") return entry.kv;
    const saved = entry.kv.pages;
    const pages = this.#parts.pages.allocate(arena, saved.length);
    this.#parts.copies.loadPages(arena, pages, saved.map(({ bytes }) => bytes!));
    this.#saved.release(saved);
    return entry.kv = { kind: "pages", arena, pages };
  }

  /** Gives a checkpoint up; does nothing if that has happened already. */
  drop(entry: Checkpoint): void {
    if (!this.#entries.delete(entry)) return;
    this.#index.delete(entry);
    if (entry.state.kind === "slot") this.#parts.slots.release(entry.state.slot);
    else this.#stateBytes -= this.#parts.copies.stateBytes;
    if (entry.kv.kind === "pages") this.#parts.pages.release(entry.kv.arena, entry.kv.pages);
    else this.#saved.release(entry.kv.pages);
    this.counters.checkpointsDropped++;
  }

  /** To be called for each page that its last holder gave back. */
  pageFreed(arena: number, page: number): void {
    this.#saved.forget(arena, page);
  }

  #add(key: Keyed, state: StatePlace, kv: KvPlace & { kind: "pages" }): Checkpoint {
    const { pages, maxEntries = MAX_ENTRIES } = this.#parts;
    for (const oldest of this.#entries) {
      if (this.#entries.size < maxEntries) break;
      if (oldest.pins === 0) this.drop(oldest);
    }
    pages.share(kv.arena, kv.pages);
    const entry: Checkpoint = { tokens: key.tokens, owner: key.owner, state, kv, pins: 0 };
    this.#entries.add(entry);
    this.#index.add(entry);
    this.counters.checkpoints++;
    return entry;
  }

  #saveState(entry: Checkpoint, slot: number): void {
    const { copies, slots } = this.#parts;
    if (!this.#makeRoom(() => copies.stateBytes, entry)) return this.drop(entry);
    entry.state = { kind: "ram", bytes: null, failed: false };
    this.#stateBytes += copies.stateBytes;
    this.#fetchState(entry, slot);
    slots.release(slot);
    this.counters.statesSaved++;
  }

  #fetchState(entry: Checkpoint, slot: number): void {
    const place = entry.state;
    if (place.kind !== "ram") return;
    this.#parts.copies.saveState(slot).then(
      (bytes) => place.bytes = bytes,
      () => place.failed = true,
    );
  }

  #savePages(entry: Checkpoint, kv: KvPlace & { kind: "pages" }): void {
    if (!this.#makeRoom(() => this.#saved.cost(kv), entry)) return this.drop(entry);
    entry.kv = { kind: "ram", pages: this.#saved.save(kv) };
    this.#parts.pages.release(kv.arena, kv.pages);
    this.counters.pagesSaved++;
  }

  /**
   * Drops what was used before `entry` (anything, for null) until `bytes()` more fit into RAM; false if they
   * still do not. What is dropped may have shared pages with `entry`, so the need is asked for anew.
   */
  #makeRoom(bytes: () => number, entry: Checkpoint | null): boolean {
    const { byteLimit } = this.#parts;
    if (bytes() > byteLimit) return false;
    for (const oldest of this.#entries) {
      if (this.ramBytes + bytes() <= byteLimit || oldest === entry) break;
      const inRam = oldest.state.kind === "ram" || oldest.kv.kind === "ram";
      if (oldest.pins === 0 && inRam) this.drop(oldest);
    }
    return this.ramBytes + bytes() <= byteLimit;
  }

  #countAvailable(arena: number): number {
    const { pages } = this.#parts;
    let count = pages.free(arena);
    for (const [page, leaving] of this.#leaving(arena)) {
      if (pages.holders(arena, page) === leaving) count++;
    }
    return count;
  }

  /** How many of each page's holders in `arena` are checkpoints that may go. */
  #leaving(arena: number): Map<number, number> {
    const leaving = new Map<number, number>();
    for (const { pins, kv } of this.#entries) {
      if (pins > 0 || kv.kind !== "pages" || kv.arena !== arena) continue;
      for (const page of kv.pages) leaving.set(page, (leaving.get(page) ?? 0) + 1);
    }
    return leaving;
  }
}

function isReady({ state, kv }: Checkpoint): boolean {
  return (state.kind === "slot" || state.bytes !== null) &&
    (kv.kind === "pages" || kv.pages.every(({ bytes }) => bytes !== null));
}

function hasFailed({ state, kv }: Checkpoint): boolean {
  return (state.kind === "ram" && state.failed) ||
    (kv.kind === "ram" && kv.pages.some(({ failed }) => failed));
}
