/**
 * The contract between the HTTP side and the engine: types only. A caller hands over the whole token
 * prefix of a request; the engine decides what to reuse, extend or rebuild, and streams events back.
 * @module
 */

/** How the next token is chosen. All fields are resolved: defaults are applied by the caller. */
export interface SamplingOptions {
  /** 0 means greedy. */
  readonly temperature: number;
  /** In (0, 1]; 1 keeps everything. */
  readonly topP: number;
  /** 0 keeps everything. */
  readonly topK: number;
  /** In [0, 1]; 0 keeps everything. */
  readonly minP: number;
  /** Added to nothing, subtracted once from each id generated so far. */
  readonly presencePenalty: number;
  /** Subtracted per occurrence among the generated ids. */
  readonly frequencyPenalty: number;
  /** Divides positive and multiplies negative logits of ids seen in prompt or output; 1 is neutral. */
  readonly repetitionPenalty: number;
  /** A 32-bit seed; equal seeds and prompts give equal tokens. */
  readonly seed: number;
  /** Added to the logits of single ids: [id, bias]. */
  readonly logitBias: readonly (readonly [number, number])[];
  /** Ids from here on are padding of the vocabulary and are never sampled; absent: all ids are real. */
  readonly idLimit?: number;
}

/** One generation. */
export interface GenerateRequest {
  /** The whole prompt as token ids; at least one. */
  readonly tokens: readonly number[];
  readonly sampling: SamplingOptions;
  /** Upper bound on generated tokens; 0 only makes sense with `promptLogprobs`. */
  readonly maxTokens: number;
  /** Ids that end the generation; they are reported as a token event and counted, but are not text. */
  readonly stopIds: readonly number[];
  /** How many alternatives each generated token reports (0-20); absent: no log-probabilities. */
  readonly logprobs?: number;
  /** How many alternatives each prompt token reports (0-20); absent: the prompt is not scored. */
  readonly promptLogprobs?: number;
  /**
   * The caller may end the generation by what it reads, such as a stop string: no token is computed before those that
   * it depends on were taken, unless the caller is slow. Then the state that is kept does not depend on timing.
   */
  readonly watched?: boolean;
  /** Token counts at which the state is worth keeping, ascending: message borders of the prompt. */
  readonly checkpoints: readonly number[];
  /** Who owns cached state: an API key's hash, a cache salt, or "". Owners never share state. */
  readonly owner: string;
}

/** An id with its natural-log probability under the model, before temperature and penalties. */
export interface ScoredToken {
  readonly id: number;
  readonly logprob: number;
}

/** One token of prompt or output; `top` is sorted, best first, and present if alternatives were asked for. */
export interface TokenScore extends ScoredToken {
  readonly top?: readonly ScoredToken[];
}

/** Why a generation ended by itself. */
export type FinishReason = "stop" | "length";

/** Token counts of one request. */
export interface Usage {
  readonly promptTokens: number;
  /** How many of the prompt's tokens came from a checkpoint. */
  readonly cachedTokens: number;
  readonly completionTokens: number;
}

/** Milliseconds of one request, measured by the engine. */
export interface Timings {
  readonly queueMs: number;
  readonly promptMs: number;
  readonly predictedMs: number;
}

/** What a generation yields, in this order: prefill*, prompt_scores?, token*, done. */
export type EngineEvent =
  | {
    readonly type: "prefill";
    readonly done: number;
    readonly total: number;
    readonly cached: number;
  }
  /** Scores of prompt tokens 1..n-1 (the first has none). */
  | { readonly type: "prompt_scores"; readonly scores: readonly TokenScore[] }
  | ({ readonly type: "token" } & TokenScore)
  | {
    readonly type: "done";
    readonly reason: FinishReason;
    readonly usage: Usage;
    readonly timings: Timings;
  };

/** Kinds of failure a caller is expected to tell apart. */
export type EngineErrorCode =
  | "not_ready"
  | "overloaded"
  | "context_length"
  | "weights"
  | "device_lost"
  | "shutdown"
  | "internal";

/** A generation that cannot go on, or cannot start. */
export class EngineError extends Error {
  override name = "EngineError";
  constructor(readonly code: EngineErrorCode, message: string) {
    super(message);
  }
}

/** What is served; known once the engine is ready. */
export interface ModelInfo {
  /** Name under /v1/models: the snapshot folder's name unless set. */
  readonly id: string;
  readonly vocabSize: number;
  /** Longest prompt + output that the planned KV cache and the model allow. */
  readonly contextLength: number;
  readonly parameters: number;
  readonly weightBytes: number;
  readonly adapter: string;
  readonly software: boolean;
  /** Where the routed experts live, as `--residency` names it; absent in a dense model. */
  readonly residency?: "resident" | "host" | "paged";
  /** Slots for routed experts in each layer; absent in a dense model. */
  readonly expertSlots?: number;
  /** How experts are read, as `--expert-io` names it; absent in a dense model. */
  readonly expertIo?: string;
  /** The variant of the matrix kernels, as `--kernels` names it. */
  readonly kernels?: string;
  /** Bytes of GPU memory that were planned with; absent where there is no plan. */
  readonly memoryBudget?: number;
}

/** Where the engine stands. */
export type EngineStatus =
  | {
    readonly state: "loading";
    readonly phase: string;
    readonly done: number;
    readonly total: number;
  }
  | { readonly state: "ready" }
  | { readonly state: "draining" }
  | { readonly state: "failed"; readonly message: string };

/** Counters since start. Whoever shows them gives the keys of `values` their public names. */
export interface Counters {
  readonly running: number;
  readonly waiting: number;
  readonly kvUsage: number;
  readonly values: Readonly<Record<string, number>>;
}

/** The engine as the HTTP side sees it. */
export interface Engine {
  /** Resolves when the model is loaded; rejects when it cannot be. */
  readonly ready: Promise<ModelInfo>;
  status(): EngineStatus;
  counters(): Promise<Counters>;
  /**
   * Starts one generation. Aborting `signal` frees the slot after the submission in flight and ends
   * the iteration without a `done`.
   * @throws {EngineError} at the first `next()` when it cannot be admitted, or in mid-stream.
   */
  generate(request: GenerateRequest, signal?: AbortSignal): AsyncIterable<EngineEvent>;
  /** Stops accepting, lets running generations finish for `graceMs`, then ends them with "shutdown". */
  drain(graceMs: number): Promise<void>;
  /** Frees the device and every mapping. */
  close(): Promise<void>;
}
