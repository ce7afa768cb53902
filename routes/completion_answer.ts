/** One plain completion as a sequence of pieces. @module */
import type {
  EngineEvent,
  FinishReason,
  GenerateRequest,
  OutputEvent,
  TokenScore,
} from "../runtime/mod.ts";
import {
  type CompletionLogprobs,
  type CompletionToken,
  LogprobWriter,
} from "./completion_logprobs.ts";
import { ENOUGH, generation } from "./generation.ts";
import type { Service } from "./service.ts";
import { Tally, type UsageBody } from "./usage.ts";

/** What a completion is made from. */
export interface CompletionPlan {
  readonly index: number;
  readonly request: GenerateRequest;
  /** The prompt's text, if it is to be part of the answer. */
  readonly echo: string | null;
  /** Whether tokens are to be scored in the answer. */
  readonly logprobs: boolean;
  readonly tokensById: boolean;
  readonly stop: readonly string[];
}

/** A step of one completion; the last one is its end. `logprobs` is null unless asked for. */
export interface CompletionPiece {
  readonly index: number;
  readonly text: string;
  readonly logprobs: CompletionLogprobs | null;
  readonly end: { readonly finishReason: FinishReason; readonly usage: UsageBody } | null;
}

/** Runs the engine for one prompt. Without an end if `signal` is aborted. */
export async function* completionAnswer(
  service: Service,
  plan: CompletionPlan,
  signal: AbortSignal,
): AsyncGenerator<CompletionPiece> {
  const { request, index } = plan;
  const writer = new CompletionWriter(service, plan);
  const tally = new Tally(request.tokens.length);
  // Scores come before the echo that carries them; without scores the echo need not wait.
  let echoed = plan.echo === null;
  if (!echoed && request.promptLogprobs === undefined) {
    echoed = true;
    yield writer.prompt([]);
  }
  const enough = new AbortController();
  const events = request.maxTokens === 0 && request.promptLogprobs === undefined
    ? nothing()
    : generation(service, request, AbortSignal.any([signal, enough.signal]));
  let finishReason: FinishReason | null = null;
  for await (const event of events) {
    tally.observe(event);
    if (!echoed && event.type !== "prefill") {
      echoed = true;
      yield writer.prompt(event.type === "prompt_scores" ? event.scores : []);
    }
    if (event.type === "done") finishReason = event.reason;
    if (event.type !== "token") continue;
    const piece = writer.token(event);
    if (piece) yield piece;
    if (writer.stopped) {
      enough.abort(ENOUGH);
      finishReason = "stop";
      break;
    }
  }
  if (finishReason === null) return;
  yield { index, ...writer.rest(), end: { finishReason, usage: tally.usage() } };
}

/** The events of a request that has nothing to compute. */
async function* nothing(): AsyncGenerator<EngineEvent> {
  yield {
    type: "done",
    reason: "length",
    usage: { promptTokens: 0, cachedTokens: 0, completionTokens: 0 },
    timings: { queueMs: 0, promptMs: 0, predictedMs: 0 },
  };
}

/** Tokens in, text and lists out. */
class CompletionWriter {
  readonly #plan: CompletionPlan;
  readonly #parser;
  readonly #logprobs: LogprobWriter | null;
  #pending: CompletionToken[] = [];

  constructor({ text }: Service, plan: CompletionPlan) {
    this.#plan = plan;
    this.#parser = text.createOutput({ thinking: false, raw: true, stop: plan.stop });
    this.#logprobs = plan.logprobs ? new LogprobWriter(text.vocabulary, plan.tokensById) : null;
  }

  get stopped(): boolean {
    return this.#parser.stopped !== null;
  }

  /** The echoed prompt. */
  prompt(scores: readonly TokenScore[]): CompletionPiece {
    const [first = 0] = this.#plan.request.tokens;
    if (this.#logprobs) this.#pending = [{ id: first, logprob: null }, ...scores];
    return this.#piece(this.#plan.echo ?? "");
  }

  /** What a token adds; null while its text is held back. */
  token(score: TokenScore): CompletionPiece | null {
    // A stop id has a log-probability, but no text: evaluation harnesses count on the entry.
    if (this.#logprobs) this.#pending.push(score);
    if (this.#plan.request.stopIds.includes(score.id)) return null;
    const text = textOf(this.#parser.push(score.id));
    return text === "" ? null : this.#piece(text);
  }

  /** What was held back. */
  rest(): { readonly text: string; readonly logprobs: CompletionLogprobs | null } {
    return { text: textOf(this.#parser.finish()), logprobs: this.#takeLogprobs() };
  }

  #piece(text: string): CompletionPiece {
    return { index: this.#plan.index, text, logprobs: this.#takeLogprobs(), end: null };
  }

  #takeLogprobs(): CompletionLogprobs | null {
    return this.#logprobs?.write(this.#pending.splice(0)) ?? null;
  }
}

function textOf(events: readonly OutputEvent[]): string {
  return events.map((event) => event.type === "content" ? event.text : "").join("");
}
