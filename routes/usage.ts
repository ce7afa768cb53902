/** What one or several generations cost, in the forms that clients read. @module */
import type { EngineEvent } from "../runtime/mod.ts";

/** The `usage` object. */
export interface UsageBody {
  readonly prompt_tokens: number;
  readonly completion_tokens: number;
  readonly total_tokens: number;
  readonly prompt_tokens_details: { readonly cached_tokens: number };
  readonly completion_tokens_details: { readonly reasoning_tokens: number };
}

/** The `timings` object; milliseconds and tokens per second. */
export interface TimingsBody {
  readonly cache_n: number;
  readonly prompt_n: number;
  readonly prompt_ms: number;
  readonly prompt_per_second: number;
  readonly predicted_n: number;
  readonly predicted_ms: number;
  readonly predicted_per_second: number;
}

/** Counts along the events of one generation, so that an answer cut by a stop string is accounted for too. */
export class Tally {
  readonly #promptTokens: number;
  readonly #startedAt = performance.now();
  #cached = 0;
  #generated = 0;
  #reasoning = 0;
  #firstTokenAt: number | null = null;
  #promptMs: number | null = null;
  #predictedMs: number | null = null;

  constructor(promptTokens: number) {
    this.#promptTokens = promptTokens;
  }

  /** Takes notice of an event; `reasoning` says whether a token belongs to the thinking. */
  observe(event: EngineEvent, reasoning = false): void {
    switch (event.type) {
      case "prefill":
        this.#cached = event.cached;
        break;
      case "token":
        this.#firstTokenAt ??= performance.now();
        this.#generated++;
        if (reasoning) this.#reasoning++;
        break;
      case "done":
        this.#cached = event.usage.cachedTokens;
        this.#promptMs = event.timings.promptMs;
        this.#predictedMs = event.timings.predictedMs;
        break;
      case "prompt_scores":
        break;
      default:
        event satisfies never;
    }
  }

  usage(): UsageBody {
    return {
      prompt_tokens: this.#promptTokens,
      completion_tokens: this.#generated,
      total_tokens: this.#promptTokens + this.#generated,
      prompt_tokens_details: { cached_tokens: this.#cached },
      completion_tokens_details: { reasoning_tokens: this.#reasoning },
    };
  }

  timings(): TimingsBody {
    const now = performance.now();
    const promptMs = this.#promptMs ?? (this.#firstTokenAt ?? now) - this.#startedAt;
    const predictedMs = this.#predictedMs ?? now - (this.#firstTokenAt ?? now);
    const prompt = this.#promptTokens - this.#cached;
    return {
      cache_n: this.#cached,
      prompt_n: prompt,
      prompt_ms: promptMs,
      prompt_per_second: perSecond(prompt, promptMs),
      predicted_n: this.#generated,
      predicted_ms: predictedMs,
      predicted_per_second: perSecond(this.#generated, predictedMs),
    };
  }
}

/** The sum over the prompts of one request. */
export function addUsage(a: UsageBody, b: UsageBody): UsageBody {
  return {
    prompt_tokens: a.prompt_tokens + b.prompt_tokens,
    completion_tokens: a.completion_tokens + b.completion_tokens,
    total_tokens: a.total_tokens + b.total_tokens,
    prompt_tokens_details: {
      cached_tokens: a.prompt_tokens_details.cached_tokens + b.prompt_tokens_details.cached_tokens,
    },
    completion_tokens_details: {
      reasoning_tokens: a.completion_tokens_details.reasoning_tokens +
        b.completion_tokens_details.reasoning_tokens,
    },
  };
}

function perSecond(count: number, ms: number): number {
  return ms > 0 ? count / ms * 1000 : 0;
}
