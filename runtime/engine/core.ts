/**
 * The engine's loop: schedule, record and submit, read back, post-process. It lives where the GPU device
 * lives and knows nothing of threads: events go out through callbacks.
 * @module
 */
import { setImmediate } from "node:timers";
import {
  EngineError,
  type EngineEvent,
  type FinishReason,
  type GenerateRequest,
} from "../contract.ts";
import { WeightsError } from "../../weights/mod.ts";
import type { SequenceCache } from "../state/sequence_cache.ts";
import { type ScheduledStep, Scheduler, type SchedulerLimits } from "./scheduler.ts";
import { type Sample, Sequence } from "./sequence.ts";
import type { Step } from "./step.ts";

/** What a step came to. */
export interface StepResult {
  /** Samples of the step's head rows, in their order. */
  readonly samples: readonly Sample[];
  /** Samples of each step that was run ahead; those of a sequence that has ended mean nothing. */
  readonly further?: readonly (readonly Sample[])[];
  /** Segments that failed by themselves, by index; the others are right. */
  readonly failed: ReadonlyMap<number, unknown>;
}

/** Runs steps; the one implementation that matters drives the GPU. */
export interface Runner {
  run(step: Step): Promise<StepResult>;
  /** How many decode steps one call may take now. */
  stepsAhead(): number;
  /** Prepares sampler slot `slot` for a sequence whose tokens so far are given. */
  prepareSampler(slot: number, request: GenerateRequest, tokens: readonly number[]): void;
}

/** Where one generation's events go; exactly one of `done` in an event, `fail`, or nothing after a cancel. */
export interface Listener {
  event(event: EngineEvent): void;
  fail(error: EngineError): void;
}

/** Totals since start. */
export interface CoreCounters {
  steps: number;
  promptTokens: number;
  cachedTokens: number;
  generatedTokens: number;
  aborted: number;
  failed: number;
  /** Generations whose room went to an older one; they are computed again. */
  preempted: number;
}

/** How long the loop waits for someone who reads along: once a generation, for all others wait too. */
const PATIENCE_MS = 500;

/** The loop over all generations. */
export class EngineCore {
  readonly #runner: Runner;
  readonly #cache: SequenceCache;
  readonly #limits: SchedulerLimits;
  readonly #scheduler: Scheduler;
  readonly #listeners = new Map<Sequence, Listener>();
  readonly #byId = new Map<number, Sequence>();
  #accepting = true;
  #wake: (() => void) | null = null;
  #running: Promise<void> | null = null;
  #stopped = false;
  #idleWork: (() => Promise<boolean>) | null = null;

  /** Totals since start. */
  readonly counters: CoreCounters = {
    steps: 0,
    promptTokens: 0,
    cachedTokens: 0,
    generatedTokens: 0,
    aborted: 0,
    failed: 0,
    preempted: 0,
  };

  constructor(runner: Runner, cache: SequenceCache, limits: SchedulerLimits) {
    this.#runner = runner;
    this.#cache = cache;
    this.#limits = limits;
    this.#scheduler = new Scheduler(limits, cache);
  }

  /** Sequences running and waiting, and the share of KV pages in use. */
  load(): { running: number; waiting: number; kvUsage: number } {
    return {
      running: this.#scheduler.running.length,
      waiting: this.#scheduler.waiting.length,
      kvUsage: this.#cache.usage(),
    };
  }

  /** Queues a generation under the caller's id; what is wrong with it is told to the listener. */
  generate(id: number, request: GenerateRequest, listener: Listener): void {
    const sequence = new Sequence(id, request, (event) => listener.event(event), performance.now());
    try {
      this.#check(request);
      this.#scheduler.add(sequence);
    } catch (error) {
      return listener.fail(asEngineError(error));
    }
    this.#listeners.set(sequence, listener);
    this.#byId.set(id, sequence);
    this.#wakeUp();
  }

  /**
   * Ends a generation without a further event; its slot is free after the step in flight. `taken` says how many tokens
   * the caller has made use of, all unless given: the state is kept as it was when the last of them was sampled.
   */
  cancel(id: number, taken = Infinity): void {
    const sequence = this.#byId.get(id);
    if (!sequence || sequence.cancelled) return;
    sequence.cancel(taken);
    this.counters.aborted++;
    this.#wakeUp();
  }

  /** Notes that the caller has made use of `taken` tokens; of interest where the generation is watched. */
  take(id: number, taken: number): void {
    this.#byId.get(id)?.take(taken);
    this.#wakeUp();
  }

  /** Starts the loop; it ends after `stop()`. */
  start(): Promise<void> {
    return this.#running ??= this.#loop();
  }

  /** Refuses new generations, waits up to `graceMs` for those at work, then ends them with "shutdown". */
  async drain(graceMs: number): Promise<void> {
    this.#accepting = false;
    const until = performance.now() + graceMs;
    while (this.#byId.size > 0 && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    this.failAll(new EngineError("shutdown", "The server is shutting down"));
  }

  /**
   * Calls `work` whenever there is nothing to run, until it says that nothing is left. A generation that arrives
   * meanwhile waits for one call at most.
   */
  whenIdle(work: () => Promise<boolean>): void {
    this.#idleWork = work;
    this.#wakeUp();
  }

  /** Ends every generation with the same error. */
  failAll(error: EngineError): void {
    for (const sequence of [...this.#byId.values()]) this.#fail(sequence, error);
  }

  /** Ends the loop after the step in flight. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#wakeUp();
    await this.#running;
  }

  #check(request: GenerateRequest): void {
    if (!this.#accepting) throw new EngineError("shutdown", "The server is shutting down");
    const wanted = request.tokens.length + (request.maxTokens > 0 ? 1 : 0);
    if (wanted > this.#limits.contextLength) {
      throw new EngineError(
        "context_length",
        `The prompt has ${request.tokens.length} tokens, the context holds ${this.#limits.contextLength} with the answer`,
      );
    }
  }

  async #loop(): Promise<void> {
    while (!this.#stopped) {
      await this.#awaitOwners();
      await this.#dropCancelled();
      this.#admit();
      const scheduled = this.#scheduler.next(this.#runner.stepsAhead());
      this.counters.preempted = this.#scheduler.preempted;
      if (scheduled) await this.#runStep(scheduled);
      await (scheduled || this.#scheduler.running.length > 0 ? turn() : this.#rest());
    }
  }

  #admit(): void {
    for (const { sequence, slot } of this.#scheduler.admit()) {
      sequence.start(performance.now());
      this.counters.cachedTokens += sequence.computed;
      this.#runner.prepareSampler(slot, sequence.request, sequence.tokens);
    }
  }

  async #runStep(scheduled: ScheduledStep): Promise<void> {
    let result: StepResult;
    try {
      result = await this.#runner.run(scheduled.step);
    } catch (error) {
      // Which sequence is to blame is unknown; all of the step's states are suspect now.
      for (const sequence of scheduled.sequences) this.#fail(sequence, asEngineError(error));
      return;
    }
    const rounds = [result.samples, ...(result.further ?? [])];
    this.counters.steps += rounds.length;
    for (const [index, samples] of rounds.entries()) {
      // Whoever takes the tokens may end a stream after each, as if every step had been run by itself.
      if (index > 0) await turn();
      this.#applyStep(scheduled, samples, result.failed);
    }
  }

  #applyStep(
    { step, sequences }: ScheduledStep,
    samples: readonly Sample[],
    failed: StepResult["failed"],
  ): void {
    let head = 0;
    let firstRow = 0;
    sequences.forEach((sequence, index) => {
      const rows = step.segments[index]!.tokens.length;
      const mine: { sample: Sample; forced: boolean }[] = [];
      for (; head < samples.length && step.heads[head]!.row < firstRow + rows; head++) {
        mine.push({ sample: samples[head]!, forced: step.heads[head]!.forced !== null });
      }
      firstRow += rows;
      if (!sequence.state) return; // it has ended, failed or was drained meanwhile
      if (failed.has(index)) this.#fail(sequence, asEngineError(failed.get(index)));
      else this.#apply(sequence, rows, mine);
    });
  }

  /** Moves a sequence on by the rows just computed. */
  #apply(sequence: Sequence, rows: number, heads: { sample: Sample; forced: boolean }[]): void {
    const wasPrompt = sequence.prefilling;
    sequence.computed += rows;
    this.#cache.advanced(sequence.state!);
    if (sequence.cancelled) return;
    if (heads.some(({ sample }) => sample.nan)) {
      return this.#fail(
        sequence,
        new EngineError("weights", "The model's output is not a number: a weight is damaged"),
      );
    }
    for (const { sample, forced } of heads) if (forced) sequence.addPromptScore(sample);
    if (wasPrompt) this.#afterPrompt(sequence, rows);
    const sampled = heads.find(({ forced }) => !forced);
    if (sampled) this.#addToken(sequence, sampled.sample);
    else if (sequence.request.maxTokens === 0 && sequence.computed === sequence.promptLength) {
      this.#finish(sequence, "length");
    }
  }

  #afterPrompt(sequence: Sequence, rows: number): void {
    this.counters.promptTokens += rows;
    if (sequence.atCheckpoint()) this.#checkpoint(sequence);
    if (sequence.generated === 0) sequence.reportPrefill();
  }

  #addToken(sequence: Sequence, sample: Sample): void {
    this.counters.generatedTokens++;
    const reason = sequence.addToken(sample, this.#limits.contextLength, performance.now());
    // Whoever is told of the token may have cancelled at it.
    if (reason && !sequence.cancelled) this.#finish(sequence, reason);
  }

  #finish(sequence: Sequence, reason: FinishReason): void {
    if (sequence.generated > 0) this.#checkpoint(sequence);
    sequence.reportDone(reason, performance.now());
    this.#forget(sequence);
  }

  #checkpoint(sequence: Sequence): void {
    const tokens = sequence.tokens.slice(0, sequence.computed);
    this.#cache.checkpoint(sequence.state!, tokens, sequence.request.owner);
  }

  #fail(sequence: Sequence, error: EngineError): void {
    this.counters.failed++;
    this.#listeners.get(sequence)?.fail(error);
    this.#forget(sequence);
  }

  /** Gives those who may end a generation by its tokens the time to read them, lest a step be run in vain. */
  async #awaitOwners(): Promise<void> {
    const until = performance.now() + PATIENCE_MS;
    while (!this.#stopped) {
      const untaken = this.#scheduler.running.filter(({ awaitsOwner }) => awaitsOwner);
      if (untaken.length === 0) return;
      const left = until - performance.now();
      if (left > 0) await this.#sleep(left);
      else for (const sequence of untaken) sequence.stopWaiting();
    }
  }

  async #dropCancelled(): Promise<void> {
    for (const sequence of [...this.#byId.values()]) {
      if (!sequence.cancelled) continue;
      // A stop string ends a stream from outside: what was generated is worth keeping all the same.
      if (sequence.state && sequence.generated > 0) await this.#settle(sequence);
      this.#forget(sequence);
    }
  }

  /** Keeps the state of a cancelled sequence as it was at the last token taken, where it has not gone too far since. */
  async #settle(sequence: Sequence): Promise<void> {
    const { state, wantedLength } = sequence;
    const past = sequence.computed > wantedLength ? this.#cache.rewind(state!, wantedLength) : null;
    if (past !== null) {
      sequence.computed = past;
      try {
        while (sequence.computed < wantedLength && sequence.state) {
          const { failed } = await this.#runner.run(this.#scheduler.again(sequence));
          if (failed.size > 0) return;
          this.#cache.advanced(state!);
          sequence.computed++;
        }
      } catch {
        return; // what could not be computed again is not kept
      }
    }
    // Tokens that were run ahead but never reported are not known here.
    if (sequence.state && sequence.computed <= sequence.tokens.length) this.#checkpoint(sequence);
  }

  #forget(sequence: Sequence): void {
    this.#scheduler.remove(sequence);
    this.#listeners.delete(sequence);
    this.#byId.delete(sequence.id);
  }

  async #rest(): Promise<void> {
    if (this.#stopped || this.#scheduler.waiting.length > 0) return await turn();
    if (!this.#idleWork) return await this.#sleep();
    if (!await this.#idleWork()) this.#idleWork = null;
    await turn();
  }

  /** Until something happens, or `mostMs` have passed. */
  async #sleep(mostMs = Infinity): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
      if (mostMs < Infinity) timer = setTimeout(resolve, mostMs);
    });
    clearTimeout(timer);
  }

  #wakeUp(): void {
    this.#wake?.();
    this.#wake = null;
  }
}

/** Lets messages that arrived during a blocking read-back be handled. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function asEngineError(error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new EngineError(error instanceof WeightsError ? "weights" : "internal", message);
}
