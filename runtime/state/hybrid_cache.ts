/** Room, prefixes and checkpoints of all sequences over paged KV and recurrent slots. @module */
import { type Checkpoint, CheckpointCache, type CheckpointCounters } from "./checkpoints.ts";
import { KvPages } from "./kv_pages.ts";
import type { Chain } from "./prefix_index.ts";
import { RecurrentSlots } from "./recurrent_slots.ts";
import type { Admitted, SequenceCache, SequenceState } from "./sequence_cache.ts";
import type { StateCopies } from "./state_copies.ts";

/** How much there is of everything. */
export interface HybridCacheParts {
  /** KV pages of each arena. */
  readonly arenaPages: readonly number[];
  readonly pageTokens: number;
  /** Recurrent slots, of running sequences and of checkpoints. */
  readonly stateSlots: number;
  readonly copies: StateCopies;
  /** Earlier states that are kept of each running sequence; none unless given. */
  readonly pasts?: number;
  /** Most bytes of RAM for checkpoints. */
  readonly byteLimit: number;
  /** For tests. */
  readonly chain?: Chain;
}

/** Totals since start. */
export interface HybridCacheCounters extends CheckpointCounters {
  /** Sequences that started from a checkpoint. */
  prefixHits: number;
  /** Sequences that looked for one in vain. */
  prefixMisses: number;
  /** Of the hits, those whose state came back from RAM. */
  statesRestored: number;
  /** Of the hits, those whose KV pages came back from RAM. */
  pagesRestored: number;
}

/** An earlier state of a running sequence. */
interface Past {
  /** Tokens that it was computed for. */
  readonly length: number;
  readonly slot: number;
  /** Whose slot it is; null: the sequence's own. */
  readonly pinned: Checkpoint | null;
}

/** A running sequence as its cache sees it. */
interface Running extends SequenceState {
  readonly arena: number;
  readonly pages: number[];
  stateRead: number | null;
  stateWrite: number;
  /** The checkpoint that `stateRead` belongs to, until a step has read it. */
  pinned: Checkpoint | null;
  /** Oldest first. */
  readonly pasts: Past[];
}

/** The one implementation of `SequenceCache`; the bytes are moved by `StateCopies`. */
export class HybridCache implements SequenceCache {
  readonly #parts: HybridCacheParts;
  readonly #pages: KvPages;
  readonly #slots: RecurrentSlots;
  readonly #checkpoints: CheckpointCache;
  readonly #running = new Map<SequenceState, Running>();
  readonly #counters = { prefixHits: 0, prefixMisses: 0, statesRestored: 0, pagesRestored: 0 };

  constructor(parts: HybridCacheParts) {
    this.#parts = parts;
    this.#pages = new KvPages(
      parts.arenaPages,
      (arena, page) => this.#checkpoints.pageFreed(arena, page),
    );
    this.#slots = new RecurrentSlots(parts.stateSlots);
    this.#checkpoints = new CheckpointCache({ ...parts, pages: this.#pages, slots: this.#slots });
  }

  /** Totals since start. */
  get counters(): HybridCacheCounters {
    return { ...this.#counters, ...this.#checkpoints.counters };
  }

  /** The checkpoints. */
  get checkpoints(): CheckpointCache {
    return this.#checkpoints;
  }

  /** The KV pages. */
  get pages(): KvPages {
    return this.#pages;
  }

  /** The recurrent slots. */
  get slots(): RecurrentSlots {
    return this.#slots;
  }

  admit(tokens: readonly number[], owner: string, reuse: boolean): Admitted | null {
    // The last token has to run, for its logits.
    const known = reuse ? this.#checkpoints.prefixes(tokens.slice(0, -1), owner) : [];
    for (const entry of known) {
      const state = this.#startFrom(entry, tokens.length);
      if (state) return { state, cached: entry.tokens.length };
    }
    const state = this.#startFromNothing(tokens.length);
    if (state && reuse) this.#counters.prefixMisses++;
    return state && { state, cached: 0 };
  }

  grow(state: SequenceState, length: number): boolean {
    const running = this.#get(state);
    const missing = this.#pagesFor(length) - running.pages.length;
    if (missing <= 0) return true;
    if (!this.#checkpoints.freePages(running.arena, missing)) return false;
    running.pages.push(...this.#pages.allocate(running.arena, missing));
    return true;
  }

  advanced(state: SequenceState): void {
    const running = this.#get(state);
    running.stateRead = running.stateWrite;
    this.#unpin(running);
  }

  keepPast(state: SequenceState, length: number): void {
    const running = this.#get(state);
    const { pasts = 0 } = this.#parts;
    const slot = running.stateRead;
    if (pasts === 0 || slot === null || running.pasts.at(-1)?.length === length) return;
    if (running.pasts.length >= pasts) this.#forget(running.pasts.splice(0, 1));
    if (slot !== running.stateWrite) {
      running.pasts.push({ length, slot, pinned: running.pinned });
      running.pinned = null;
    } else if (this.#checkpoints.freeSlot()) {
      running.pasts.push({ length, slot, pinned: null });
      running.stateWrite = this.#slots.allocate();
    }
  }

  rewind(state: SequenceState, length: number): number | null {
    const running = this.#get(state);
    const at = running.pasts.findLastIndex((past) => past.length <= length);
    const past = running.pasts[at];
    if (!past) return null;
    this.#forget(running.pasts.splice(at + 1));
    running.pasts.pop();
    this.#unpin(running);
    running.stateRead = past.slot;
    running.pinned = past.pinned;
    if (!past.pinned) {
      this.#slots.release(running.stateWrite);
      running.stateWrite = past.slot;
    }
    return past.length;
  }

  checkpoint(state: SequenceState, tokens: readonly number[], owner: string): void {
    const running = this.#get(state);
    // No step has run since the start: what there is to keep is kept already.
    if (running.stateRead !== running.stateWrite || tokens.length === 0) return;
    if (this.#checkpoints.has(tokens, owner)) return;
    const key = { tokens: Int32Array.from(tokens), owner };
    const pages = running.pages.slice(0, this.#pagesFor(tokens.length));
    const kv = { kind: "pages", arena: running.arena, pages } as const;
    if (!this.#checkpoints.freeSlot()) {
      this.#checkpoints.insertSaved(key, running.stateWrite, kv);
      return;
    }
    // No bytes move: the checkpoint takes the slot, the sequence reads it once more and writes another.
    const entry = this.#checkpoints.insert(key, running.stateWrite, kv);
    this.#checkpoints.pin(entry);
    running.pinned = entry;
    running.stateWrite = this.#slots.allocate();
  }

  release(state: SequenceState): void {
    const running = this.#get(state);
    this.#running.delete(state);
    this.#unpin(running);
    this.#forget(running.pasts.splice(0));
    this.#pages.release(running.arena, running.pages);
    this.#slots.release(running.stateWrite);
  }

  usage(): number {
    const total = this.#pages.total();
    let available = 0;
    for (let arena = 0; arena < this.#pages.arenas; arena++) {
      available += this.#checkpoints.availablePages(arena);
    }
    return total === 0 ? 0 : 1 - available / total;
  }

  #startFrom(entry: Checkpoint, length: number): Running | null {
    this.#checkpoints.pin(entry);
    const state = this.#place(entry, length);
    if (!state) {
      this.#checkpoints.unpin(entry);
      return null;
    }
    this.#counters.prefixHits++;
    this.#checkpoints.touch(entry);
    if (entry.state.kind === "slot") {
      state.stateRead = entry.state.slot;
      state.pinned = entry;
      return state;
    }
    this.#parts.copies.loadState(state.stateWrite, entry.state.bytes!);
    state.stateRead = state.stateWrite;
    this.#counters.statesRestored++;
    this.#checkpoints.unpin(entry);
    return state;
  }

  /** Slot and pages for a sequence that goes on from a pinned checkpoint; null, and nothing taken, without room. */
  #place(entry: Checkpoint, length: number): Running | null {
    const { pageTokens, copies } = this.#parts;
    const tokens = entry.tokens.length;
    const arena = entry.kv.kind === "pages" ? entry.kv.arena : this.#roomiestArena();
    const restored = entry.kv.kind === "pages" ? 0 : this.#pagesFor(tokens);
    const own = this.#pagesFor(length) - Math.floor(tokens / pageTokens);
    if (!this.#makeRoom(arena, restored + own)) return null;
    if (restored) this.#counters.pagesRestored++;
    const { pages: known } = this.#checkpoints.restorePages(entry, arena);
    const pages = this.#pages.fork(
      { arena, pages: known, tokens },
      pageTokens,
      (from, to) => copies.copyPage(arena, from, to),
    );
    return this.#start(arena, pages, length);
  }

  #startFromNothing(length: number): Running | null {
    const arena = this.#roomiestArena();
    if (!this.#makeRoom(arena, this.#pagesFor(length))) return null;
    return this.#start(arena, [], length);
  }

  /** Frees a slot and `pages` pages, if both can be had. */
  #makeRoom(arena: number, pages: number): boolean {
    if (this.#checkpoints.availableSlots() === 0) return false;
    return this.#checkpoints.freePages(arena, pages) && this.#checkpoints.freeSlot();
  }

  #start(arena: number, pages: number[], length: number): Running {
    const missing = Math.max(0, this.#pagesFor(length) - pages.length);
    pages.push(...this.#pages.allocate(arena, missing));
    const stateWrite = this.#slots.allocate();
    const running: Running = { arena, pages, stateRead: null, stateWrite, pinned: null, pasts: [] };
    this.#running.set(running, running);
    return running;
  }

  #roomiestArena(): number {
    let best = 0;
    for (let arena = 1; arena < this.#pages.arenas; arena++) {
      const room = this.#checkpoints.availablePages(arena);
      if (room > this.#checkpoints.availablePages(best)) best = arena;
    }
    return best;
  }

  #pagesFor(tokens: number): number {
    return Math.ceil(tokens / this.#parts.pageTokens);
  }

  #forget(pasts: readonly Past[]): void {
    for (const { slot, pinned } of pasts) {
      if (pinned) this.#checkpoints.unpin(pinned);
      else this.#slots.release(slot);
    }
  }

  #unpin(running: Running): void {
    if (running.pinned) this.#checkpoints.unpin(running.pinned);
    running.pinned = null;
  }

  /** @throws {RangeError} for a state that was released */
  #get(state: SequenceState): Running {
    const running = this.#running.get(state);
    if (!running) throw new RangeError("Cannot use the state of a sequence: it was released");
    return running;
  }
}
