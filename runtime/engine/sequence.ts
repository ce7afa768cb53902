/** One request in the engine: its tokens, how far they are computed, and what it has to report. @module */
import type { EngineEvent, FinishReason, GenerateRequest, TokenScore } from "../contract.ts";
import type { SequenceState } from "../state/sequence_cache.ts";

/** What one head row came out as. */
export interface Sample extends TokenScore {
  /** The row's logits held a NaN: the request cannot go on. */
  readonly nan: boolean;
}

/** Gives a sequence's events to whoever asked for them. */
export type Emit = (event: EngineEvent) => void;

/** A request from its arrival to its end. */
export class Sequence {
  readonly id: number;
  readonly request: GenerateRequest;
  readonly emit: Emit;
  /** Prompt, then everything generated. */
  readonly tokens: number[];
  /** How many of `tokens` are in the state; the rest is still to be run. */
  computed = 0;
  /** How many of them came from a checkpoint. */
  cached = 0;
  /** Set while the sequence is running. */
  state: SequenceState | null = null;
  /** Set by the owner of the stream; the sequence leaves before the next step. */
  cancelled = false;
  #taken = 0;
  #waitedInVain = false;
  #scores: TokenScore[] = [];
  readonly #arrivedMs: number;
  #startedMs = 0;
  #firstTokenMs = 0;

  constructor(id: number, request: GenerateRequest, emit: Emit, nowMs: number) {
    this.id = id;
    this.request = request;
    this.emit = emit;
    this.tokens = [...request.tokens];
    this.#arrivedMs = nowMs;
  }

  /** Tokens of the prompt. */
  get promptLength(): number {
    return this.request.tokens.length;
  }

  /** Tokens generated so far. */
  get generated(): number {
    return this.tokens.length - this.promptLength;
  }

  /** Whether more than the newest token is still to be run. */
  get prefilling(): boolean {
    return this.computed < this.tokens.length - 1 || this.generated === 0;
  }

  /** The next border, after what is computed, at which a chunk should end: a checkpoint or the end. */
  nextBorder(): number {
    return this.request.checkpoints.find((at) => at > this.computed && at < this.tokens.length) ??
      this.tokens.length;
  }

  /** Whether the state now stands at a border worth keeping. */
  atCheckpoint(): boolean {
    return this.computed === this.promptLength || this.request.checkpoints.includes(this.computed);
  }

  /** Notes that the owner of the stream has taken `count` of the generated tokens. */
  take(count: number): void {
    this.#taken = Math.min(count, this.generated);
  }

  /** Ends the stream for an owner who has taken `count` of the generated tokens. */
  cancel(count: number): void {
    this.take(count);
    this.cancelled = true;
  }

  /** Whether the owner, who may end the stream by what it reads, has still to read something. */
  get awaitsOwner(): boolean {
    return this.request.watched === true && !this.cancelled && !this.#waitedInVain &&
      this.#taken < this.generated;
  }

  /** Goes on without the owner from now on. */
  stopWaiting(): void {
    this.#waitedInVain = true;
  }

  /**
   * Of a cancelled sequence: how many tokens its state has if each was run only when the one before was taken. The
   * newest that was taken has not been run.
   */
  get wantedLength(): number {
    return this.promptLength + Math.max(0, this.#taken - 1);
  }

  /** Marks the start of computing. */
  start(nowMs: number): void {
    if (this.#startedMs === 0) this.#startedMs = nowMs;
  }

  /** Forgets what is computed, after the state was given up; what was generated stays. */
  rewind(): void {
    this.computed = 0;
    this.#scores = [];
  }

  /** Keeps the score of one prompt token. */
  addPromptScore(sample: Sample): void {
    this.#scores.push(scoreOf(sample, this.request.promptLogprobs));
  }

  /** Reports progress of the prompt, and its scores when it is through. */
  reportPrefill(): void {
    const done = Math.min(this.computed, this.promptLength);
    this.emit({ type: "prefill", done, total: this.promptLength, cached: this.cached });
    if (done === this.promptLength && this.request.promptLogprobs !== undefined) {
      this.emit({ type: "prompt_scores", scores: this.#scores });
    }
  }

  /** Takes a sampled token and reports it; returns why the sequence ends here, or null. */
  addToken(sample: Sample, contextLength: number, nowMs: number): FinishReason | null {
    if (this.#firstTokenMs === 0) this.#firstTokenMs = nowMs;
    this.tokens.push(sample.id);
    this.emit({ type: "token", ...scoreOf(sample, this.request.logprobs) });
    if (this.request.stopIds.includes(sample.id)) return "stop";
    const full = this.generated >= this.request.maxTokens || this.tokens.length >= contextLength;
    return full ? "length" : null;
  }

  /** Reports the end. */
  reportDone(reason: FinishReason, nowMs: number): void {
    const firstTokenMs = this.#firstTokenMs || nowMs;
    this.emit({
      type: "done",
      reason,
      usage: {
        promptTokens: this.promptLength,
        cachedTokens: Math.min(this.cached, this.promptLength),
        completionTokens: this.generated,
      },
      timings: {
        queueMs: this.#startedMs - this.#arrivedMs,
        promptMs: firstTokenMs - this.#startedMs,
        predictedMs: nowMs - firstTokenMs,
      },
    });
  }
}

/** A sample as the caller asked for it: with the first `alternatives` of its top list, or none. */
function scoreOf({ id, logprob, top }: Sample, alternatives: number | undefined): TokenScore {
  return alternatives === undefined || !top
    ? { id, logprob }
    : { id, logprob, top: top.slice(0, alternatives) };
}
