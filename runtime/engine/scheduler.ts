/**
 * Decides what the next step computes: one token for every sequence that decodes, or one chunk of one
 * prompt, in turn, so that a long prompt does not stall the others.
 * @module
 */
import { EngineError } from "../contract.ts";
import { MOST_STOP_IDS } from "../model/ahead.ts";
import { DECODE_ROWS, PAGE_TOKENS } from "../model/parts.ts";
import type { SequenceCache } from "../state/sequence_cache.ts";
import type { Sequence } from "./sequence.ts";
import type { HeadRow, Positions, Step, StepSegment } from "./step.ts";

/** Bounds of the schedule. */
export interface SchedulerLimits {
  /** Sequences that run at once; at most 16. */
  readonly maxSequences: number;
  /** Sequences that wait; one more is refused. */
  readonly maxWaiting: number;
  /** Rows of a prompt computed in one step. */
  readonly chunkRows: number;
  /** Longest prompt + output of one sequence. */
  readonly contextLength: number;
}

/** A step together with the sequence of each of its segments. */
export interface ScheduledStep {
  readonly step: Step;
  readonly sequences: readonly Sequence[];
}

/** The waiting and the running sequences. */
export class Scheduler {
  readonly #limits: SchedulerLimits;
  readonly #cache: SequenceCache;
  readonly #waiting: Sequence[] = [];
  /** Index is the sampler slot. */
  readonly #running: (Sequence | null)[];
  #decodedLast = false;
  #servedOldest = false;
  #preempted = 0;

  constructor(limits: SchedulerLimits, cache: SequenceCache) {
    this.#limits = limits;
    this.#cache = cache;
    this.#running = new Array<Sequence | null>(limits.maxSequences).fill(null);
  }

  /** Running sequences, oldest first. */
  get running(): readonly Sequence[] {
    return this.#running.filter((sequence) => sequence !== null).sort((a, b) => a.id - b.id);
  }

  /** How often a running sequence had to give its room to another. */
  get preempted(): number {
    return this.#preempted;
  }

  /** Waiting sequences, oldest first. */
  get waiting(): readonly Sequence[] {
    return this.#waiting;
  }

  /**
   * Queues a sequence; those that will start at once do not count as waiting.
   * @throws {EngineError} "overloaded" when the queue is full
   */
  add(sequence: Sequence): void {
    const idle = this.#running.filter((other) => other === null).length;
    if (this.#waiting.length >= this.#limits.maxWaiting + idle) {
      throw new EngineError(
        "overloaded",
        `Cannot queue the request: ${this.#waiting.length} are waiting already, try again later`,
      );
    }
    this.#waiting.push(sequence);
  }

  /** Starts waiting sequences while there is room; returns those started with their sampler slots. */
  admit(): { readonly sequence: Sequence; readonly slot: number }[] {
    const started = [];
    for (let slot = this.#running.indexOf(null); slot >= 0; slot = this.#running.indexOf(null)) {
      const sequence = this.#waiting[0];
      if (!sequence) break;
      const { owner, promptLogprobs } = sequence.request;
      const admitted = this.#cache.admit(sequence.tokens, owner, promptLogprobs === undefined);
      if (!admitted) break;
      this.#waiting.shift();
      sequence.state = admitted.state;
      sequence.computed = admitted.cached;
      if (sequence.generated === 0) sequence.cached = admitted.cached;
      this.#running[slot] = sequence;
      started.push({ sequence, slot });
    }
    return started;
  }

  /** Takes a sequence out, wherever it is, and gives its state back. */
  remove(sequence: Sequence): void {
    const slot = this.#running.indexOf(sequence);
    if (slot >= 0) this.#running[slot] = null;
    const queued = this.#waiting.indexOf(sequence);
    if (queued >= 0) this.#waiting.splice(queued, 1);
    if (sequence.state) this.#cache.release(sequence.state);
    sequence.state = null;
  }

  /** The next step, or null when nothing runs. Prompts and decoding take turns; decoding may take `ahead` steps at once. */
  next(ahead = 1): ScheduledStep | null {
    const prefilling = this.running.filter((sequence) => sequence.prefilling);
    const decoding = this.running.some((sequence) => !sequence.prefilling);
    if (prefilling.length > 0 && (!decoding || this.#decodedLast)) {
      this.#decodedLast = false;
      return this.#chunk(this.#nextPrompt(prefilling));
    }
    this.#decodedLast = true;
    return decoding ? this.#decode(ahead) : null;
  }

  /** A step that computes the sequence's next token again, unsampled. */
  again(sequence: Sequence): Step {
    const segments = [this.#segment(sequence, sequence.computed + 1)];
    return { phase: "decode", segments, heads: [] };
  }

  /** The oldest prompt and the one with least to do, in turn: a short one need not wait for a long one. */
  #nextPrompt(prefilling: readonly Sequence[]): Sequence {
    this.#servedOldest = !this.#servedOldest;
    if (this.#servedOldest) return prefilling[0]!;
    return prefilling.reduce((least, other) => left(other) < left(least) ? other : least);
  }

  #decode(most: number): ScheduledStep | null {
    const decoding = this.running.filter(({ prefilling }) => !prefilling);
    const steps = this.#stepsAhead(decoding, most);
    const sequences: Sequence[] = [];
    for (const sequence of decoding) {
      if (sequence.state && this.#grow(sequence, this.#reach(sequence, steps))) {
        sequences.push(sequence);
      }
    }
    // Growing one may have taken the room of another that was already chosen.
    const kept = sequences.filter((sequence) => sequence.state !== null);
    if (kept.length === 0) return null;
    for (const { state, computed } of kept) this.#cache.keepPast(state!, computed);
    const segments = kept.map((sequence) =>
      this.#segment(sequence, sequence.tokens.length, this.#reach(sequence, steps))
    );
    const heads = kept.map((_, row): HeadRow => ({ row, forced: null }));
    const limits = kept.map((sequence) => ({
      left: this.#left(sequence),
      stopIds: sequence.request.stopIds,
    }));
    const ahead = steps > 1 ? { ahead: { steps, limits } } : {};
    return { step: { phase: "decode", segments, heads, ...ahead }, sequences: kept };
  }

  /** Steps that `decoding` can take at once, at most `most`: 1 where the GPU cannot tell when one ends, or has no room. */
  #stepsAhead(decoding: readonly Sequence[], most: number): number {
    if (most === 1 || decoding.some(({ request }) => request.stopIds.length > MOST_STOP_IDS)) {
      return 1;
    }
    const steps = Math.min(most, Math.max(...decoding.map((sequence) => this.#left(sequence))));
    const fits = decoding.every((sequence) =>
      this.#cache.grow(sequence.state!, this.#reach(sequence, steps))
    );
    return fits ? steps : 1;
  }

  /** Tokens that the sequence may still get. */
  #left({ request, generated, tokens }: Sequence): number {
    return Math.min(request.maxTokens - generated, this.#limits.contextLength - tokens.length);
  }

  /** Places that `steps` steps write to: one that ends before the last goes on to write behind its last token. */
  #reach(sequence: Sequence, steps: number): number {
    return sequence.tokens.length - 1 + Math.min(steps, this.#left(sequence) + 1);
  }

  #chunk(sequence: Sequence): ScheduledStep | null {
    const end = Math.min(sequence.nextBorder(), sequence.computed + this.#limits.chunkRows);
    if (!this.#grow(sequence, end)) return null;
    const segment = this.#segment(sequence, end);
    const phase = segment.tokens.length <= DECODE_ROWS ? "decode" : "prefill";
    return {
      step: { phase, segments: [segment], heads: chunkHeads(sequence, end) },
      sequences: [sequence],
    };
  }

  /** Makes room for `length` tokens, taking it from the youngest sequence of the arena when there is none. */
  #grow(sequence: Sequence, length: number): boolean {
    const { arena } = sequence.state!;
    while (!this.#cache.grow(sequence.state!, length)) {
      const youngest = this.running.findLast(({ state }) => state?.arena === arena)!;
      this.#preempt(youngest);
      if (youngest === sequence) return false;
    }
    return true;
  }

  /** Sends a running sequence back to the head of the queue; its tokens are computed again later. */
  #preempt(sequence: Sequence): void {
    this.remove(sequence);
    sequence.rewind();
    this.#waiting.unshift(sequence);
    this.#preempted++;
  }

  /** Rows up to `end`, with the pages up to `reach`. */
  #segment(sequence: Sequence, end: number, reach = end): StepSegment {
    const state = sequence.state!;
    const from = sequence.computed;
    return {
      tokens: sequence.tokens.slice(from, end),
      positions: Array.from(
        { length: end - from },
        (_, i): Positions => [from + i, from + i, from + i],
      ),
      context: from,
      pages: state.pages.slice(0, Math.ceil(reach / PAGE_TOKENS)),
      arena: state.arena,
      stateRead: state.stateRead,
      stateWrite: state.stateWrite,
      sampler: this.#running.indexOf(sequence),
    };
  }
}

function left(sequence: Sequence): number {
  return sequence.tokens.length - sequence.computed;
}

/** The last row of the last chunk is sampled; where the prompt is still to be scored, every row is. */
function chunkHeads(sequence: Sequence, end: number): HeadRow[] {
  const heads: HeadRow[] = [];
  const rows = end - sequence.computed;
  if (sequence.request.promptLogprobs !== undefined && sequence.generated === 0) {
    for (let row = 0; row < rows; row++) {
      const next = sequence.computed + row + 1;
      if (next < sequence.promptLength) heads.push({ row, forced: sequence.tokens[next]! });
    }
  }
  if (end === sequence.tokens.length && sequence.request.maxTokens > 0) {
    heads.push({ row: rows - 1, forced: null });
  }
  return heads;
}
