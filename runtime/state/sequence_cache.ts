/** What the engine's loop asks of the state: room for a sequence, prefixes it can start from, checkpoints. @module */

/** The GPU state of one running sequence. */
export interface SequenceState {
  /** The KV buffer that holds all of its pages. */
  readonly arena: number;
  /** KV page of each 32 tokens. */
  readonly pages: readonly number[];
  /** Recurrent slot that the next step starts from; null starts from zeros. */
  stateRead: number | null;
  /** Recurrent slot that steps leave the state in. */
  readonly stateWrite: number;
}

/** A sequence that may run: its state, already computed for the first `cached` tokens. */
export interface Admitted {
  readonly state: SequenceState;
  readonly cached: number;
}

/** Room and memory of all sequences. Decisions are synchronous: ask, then do. */
export interface SequenceCache {
  /**
   * Takes room for a sequence and finds the longest usable prefix of `tokens`, always shorter than all of
   * them; `reuse` false starts from nothing. Null when there is no room now.
   */
  admit(tokens: readonly number[], owner: string, reuse: boolean): Admitted | null;
  /** Makes room for KV of `length` tokens in all; false when there is none left. */
  grow(state: SequenceState, length: number): boolean;
  /** Tells that a step has written the state, so that the next one starts from it. */
  advanced(state: SequenceState): void;
  /**
   * Keeps the state as it stands, after `length` tokens, for `rewind`: later steps write elsewhere. The last few such
   * states are kept, and none where there is no room.
   */
  keepPast(state: SequenceState, length: number): void;
  /**
   * Goes back to the newest kept state of at most `length` tokens, and forgets those after it.
   * @returns how many tokens it has; null, and nothing has changed, if none is kept
   */
  rewind(state: SequenceState, length: number): number | null;
  /** Keeps the state as it stands after `tokens` for later sequences of `owner`. */
  checkpoint(state: SequenceState, tokens: readonly number[], owner: string): void;
  /** Gives everything of the sequence back. */
  release(state: SequenceState): void;
  /** Share of KV pages in use, 0 to 1. */
  usage(): number;
}
