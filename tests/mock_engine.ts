/** An engine that plays a script, for tests of the HTTP side. @module */
import {
  type Counters,
  type Engine,
  EngineError,
  type EngineEvent,
  type EngineStatus,
  type FinishReason,
  type GenerateRequest,
  type ModelInfo,
  type ScoredToken,
  type TokenScore,
} from "../runtime/mod.ts";

/** What one generation does. */
export interface Script {
  /** The ids that come out, in order; cut at the request's limit and stop ids. */
  readonly tokens?: Iterable<number>;
  /** Pause before the first token and before each other one; aborts end it at once. */
  readonly prefillMs?: number;
  readonly tokenMs?: number;
  /** Tokens of the prompt that came from a checkpoint. */
  readonly cached?: number;
  /** Thrown instead of the first event. */
  readonly refuse?: EngineError;
  /** Thrown instead of token number `failAt`. */
  readonly fail?: unknown;
  readonly failAt?: number;
}

/** The model that {@linkcode MockEngine} claims to be. */
export const MOCK_MODEL: ModelInfo = {
  id: "mock",
  vocabSize: 300,
  contextLength: 512,
  parameters: 1234,
  weightBytes: 5678,
  adapter: "none",
  software: true,
};

/** Plays `script` for each generation, and records what was asked of it. */
export class MockEngine implements Engine {
  readonly ready: Promise<ModelInfo>;
  /** What the next generations do; a function sees the request. */
  script: Script | ((request: GenerateRequest) => Script) = {};
  state: EngineStatus = { state: "ready" };
  values: Record<string, number> = { hits: 7, checkpointsKept: 3, newCount: 5 };
  readonly requests: GenerateRequest[] = [];
  /** Where each aborted generation was. */
  readonly aborts: ("prefill" | "decode")[] = [];
  /** Generations in progress: a slot each. */
  active = 0;
  readonly #shutdown = new AbortController();

  constructor(model: Partial<ModelInfo> = {}) {
    this.ready = Promise.resolve({ ...MOCK_MODEL, ...model });
  }

  status(): EngineStatus {
    return this.state;
  }

  counters(): Promise<Counters> {
    return Promise.resolve({
      running: this.active,
      waiting: 2,
      kvUsage: 0.25,
      values: this.values,
    });
  }

  async *generate(request: GenerateRequest, signal?: AbortSignal): AsyncIterable<EngineEvent> {
    this.requests.push(request);
    const script = typeof this.script === "function" ? this.script(request) : this.script;
    if (script.refuse) throw script.refuse;
    this.active++;
    const ends = AbortSignal.any([this.#shutdown.signal, ...(signal ? [signal] : [])]);
    const run = { script, request, ends, phase: "prefill" as "prefill" | "decode" };
    try {
      yield* this.#play(run);
    } finally {
      if (signal?.aborted) this.aborts.push(run.phase);
      this.active--;
    }
  }

  async drain(graceMs: number): Promise<void> {
    this.state = { state: "draining" };
    const end = Date.now() + graceMs;
    while (this.active > 0 && Date.now() < end) await new Promise((go) => setTimeout(go, 5));
    this.#shutdown.abort();
    await new Promise((go) => setTimeout(go, 5)); // those that wait are told; nobody waits for deaf ones
  }

  close(): Promise<void> {
    return Promise.resolve();
  }

  async *#play(run: {
    readonly script: Script;
    readonly request: GenerateRequest;
    readonly ends: AbortSignal;
    phase: "prefill" | "decode";
  }): AsyncGenerator<EngineEvent> {
    const { script, request, ends } = run;
    const { tokens: prompt, maxTokens, stopIds, logprobs, promptLogprobs } = request;
    const cached = script.cached ?? 0;
    yield { type: "prefill", done: cached, total: prompt.length, cached };
    if (await this.#interrupted(ends, script.prefillMs)) return;
    yield { type: "prefill", done: prompt.length, total: prompt.length, cached };
    if (promptLogprobs !== undefined) {
      yield {
        type: "prompt_scores",
        scores: prompt.slice(1).map((id) => mockScore(id, promptLogprobs)),
      };
    }
    let reason: FinishReason = "length";
    let count = 0;
    for (const id of script.tokens ?? []) {
      if (count >= maxTokens) break;
      if (count > 0 && await this.#interrupted(ends, script.tokenMs)) return;
      run.phase = "decode";
      if (script.failAt === count) throw script.fail;
      count++;
      yield { type: "token", ...mockScore(id, logprobs) };
      if (stopIds.includes(id)) {
        reason = "stop";
        break;
      }
    }
    yield {
      type: "done",
      reason,
      usage: { promptTokens: prompt.length, cachedTokens: cached, completionTokens: count },
      timings: { queueMs: 0, promptMs: 10, predictedMs: 20 },
    };
  }

  /** Pauses; true if the client went away. @throws {EngineError} when the engine shuts down. */
  async #interrupted(ends: AbortSignal, ms = 0): Promise<boolean> {
    if (ms > 0 && !ends.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, ms);
      ends.addEventListener("abort", () => resolve(), { once: true });
      await promise;
      clearTimeout(timer);
    }
    if (this.#shutdown.signal.aborted) throw new EngineError("shutdown", "The server shuts down");
    return ends.aborted;
  }
}

/** The score that the mock gives an id: its own log-probability is -id/100, that of alternatives -k. */
export function mockScore(id: number, alternatives: number | undefined): TokenScore {
  const score: ScoredToken = { id, logprob: -id / 100 };
  if (alternatives === undefined) return score;
  const top = Array.from({ length: alternatives }, (_, k) => ({ id: 65 + k, logprob: -k }));
  return { ...score, top };
}
