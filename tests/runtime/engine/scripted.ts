/** A runner and a cache without a GPU, for tests of the engine's loop. @module */
import type { GenerateRequest } from "../../../runtime/contract.ts";
import { greedy } from "../../greedy.ts";
import type { Runner, StepResult } from "../../../runtime/engine/core.ts";
import type { Step } from "../../../runtime/engine/step.ts";
import type {
  Admitted,
  SequenceCache,
  SequenceState,
} from "../../../runtime/state/sequence_cache.ts";

/** Samples id 100 + the row's cache index; records every step. */
export class ScriptedRunner implements Runner {
  readonly steps: Step[] = [];
  /** Decode steps that it takes at once. */
  ahead = 1;
  /** Called before each step; may throw. */
  before: (step: Step) => void = () => {};
  /** Segments of the step that are to fail, with the reason. */
  failed: (step: Step) => ReadonlyMap<number, unknown> = () => new Map();

  run(step: Step): Promise<StepResult> {
    this.before(step);
    this.steps.push(step);
    const rows = step.segments.flatMap((segment) =>
      segment.tokens.map((_, i) => segment.context + i)
    );
    const [samples, ...further] = Array.from(
      { length: step.ahead?.steps ?? 1 },
      (_, later) =>
        step.heads.map(({ row, forced }) => ({
          id: forced ?? 100 + rows[row]! + later,
          logprob: -1,
          top: [{ id: 1, logprob: -1 }, { id: 2, logprob: -2 }],
          nan: false,
        })),
    );
    const failed = this.failed(step);
    return Promise.resolve({ samples: samples!, ...(step.ahead && { further }), failed });
  }

  stepsAhead(): number {
    return this.ahead;
  }

  prepareSampler(_slot: number, _request: GenerateRequest, _tokens: readonly number[]): void {}
}

/** Room for `pages` pages in each of `arenas` arenas, which sequences take in turn; remembers nothing. */
export class ScriptedCache implements SequenceCache {
  readonly checkpoints: number[] = [];
  readonly #free: number[];
  readonly #pages: number;
  /** The last state kept of each sequence. */
  readonly #pasts = new Map<SequenceState, number>();
  #admitted = 0;

  constructor(pages: number, arenas = 1) {
    this.#free = new Array<number>(arenas).fill(pages);
    this.#pages = pages * arenas;
  }

  /** Free pages of all arenas. */
  get free(): number {
    return this.#free.reduce((sum, free) => sum + free, 0);
  }

  admit(tokens: readonly number[]): Admitted | null {
    const arena = this.#admitted % this.#free.length;
    if (this.#free[arena] === 0) return null;
    this.#admitted++;
    const state = { arena, pages: [], stateRead: null, stateWrite: 0 };
    this.grow(state, Math.min(32, tokens.length));
    return { state, cached: 0 };
  }

  grow(state: SequenceState, length: number): boolean {
    const pages = state.pages as number[];
    const more = Math.ceil(length / 32) - pages.length;
    if (more > this.#free[state.arena]!) return false;
    for (let i = 0; i < more; i++) pages.push(this.#free[state.arena]!--);
    return true;
  }

  advanced(state: SequenceState): void {
    state.stateRead = state.stateWrite;
  }

  keepPast(state: SequenceState, length: number): void {
    this.#pasts.set(state, length);
  }

  rewind(state: SequenceState, length: number): number | null {
    const past = this.#pasts.get(state);
    return past !== undefined && past <= length ? past : null;
  }

  checkpoint(_state: SequenceState, tokens: readonly number[]): void {
    this.checkpoints.push(tokens.length);
  }

  release(state: SequenceState): void {
    this.#free[state.arena]! += state.pages.length;
  }

  usage(): number {
    return 1 - this.free / this.#pages;
  }
}

/** A greedy request for `length` prompt tokens. */
export function request(length: number, changes: Partial<GenerateRequest> = {}): GenerateRequest {
  return greedy(Array.from({ length }, (_, i) => i), { maxTokens: 3, ...changes });
}
