/** One chat answer as a sequence of deltas: what is streamed, and what a whole answer is put together from. @module */
import type {
  GenerateRequest,
  OutputEvent,
  OutputParser,
  TokenScore,
  ToolDefinition,
} from "../runtime/mod.ts";
import { ENOUGH, generation } from "./generation.ts";
import type { Service } from "./service.ts";
import { type ChatLogprob, chatLogprob } from "./token_text.ts";
import { Tally, type TimingsBody, type UsageBody } from "./usage.ts";

/** What a chat answer is made from. */
export interface ChatPlan {
  readonly request: GenerateRequest;
  readonly startsInThinking: boolean;
  readonly tools: readonly ToolDefinition[];
  readonly stop: readonly string[];
  /** False ends the answer after its first tool call. */
  readonly parallelToolCalls: boolean;
  readonly tokensById: boolean;
}

/** An entry of a delta's `tool_calls`. */
export interface ToolCallDelta {
  readonly index: number;
  readonly id?: string;
  readonly type?: "function";
  readonly function: { readonly name?: string; readonly arguments: string };
}

/** What one step adds to the message. Thinking goes under both names in use. */
export interface ChatDelta {
  readonly content?: string;
  readonly reasoning_content?: string;
  readonly reasoning?: string;
  readonly tool_calls?: readonly ToolCallDelta[];
}

/** Why a chat answer ended. */
export type ChatFinishReason = "stop" | "length" | "tool_calls";

/** A step of the answer; the last one is its end. `logprobs` is empty unless asked for. */
export type ChatPiece =
  | {
    readonly type: "delta";
    readonly delta: ChatDelta;
    readonly logprobs: readonly ChatLogprob[];
  }
  | {
    readonly type: "end";
    readonly finishReason: ChatFinishReason;
    readonly logprobs: readonly ChatLogprob[];
    readonly usage: UsageBody;
    readonly timings: TimingsBody;
  };

/** Runs the engine and takes its tokens apart. Without an end if `signal` is aborted. */
export async function* chatAnswer(
  service: Service,
  plan: ChatPlan,
  signal: AbortSignal,
): AsyncGenerator<ChatPiece> {
  const reader = new ChatReader(service, plan);
  const enough = new AbortController();
  const events = generation(service, plan.request, AbortSignal.any([signal, enough.signal]));
  const tally = new Tally(plan.request.tokens.length);
  let engineReason: "stop" | "length" | null = null;
  for await (const event of events) {
    if (event.type === "token") {
      tally.observe(event, reader.thinking);
      for (const delta of reader.read(event)) yield delta;
      if (reader.done) {
        enough.abort(ENOUGH);
        engineReason = "stop";
        break;
      }
    } else {
      tally.observe(event);
      if (event.type === "done") engineReason = event.reason;
    }
  }
  if (engineReason === null) return;
  for (const delta of reader.finish()) yield delta;
  yield {
    type: "end",
    finishReason: reader.finishReason(engineReason),
    logprobs: reader.takeLogprobs(),
    usage: tally.usage(),
    timings: tally.timings(),
  };
}

/** Tokens in, deltas out. */
class ChatReader {
  readonly #service: Service;
  readonly #plan: ChatPlan;
  readonly #parser: OutputParser;
  readonly #endOfThinking: number | null | undefined;
  #thinking: boolean;
  #logprobs: ChatLogprob[] = [];

  constructor(service: Service, plan: ChatPlan) {
    this.#service = service;
    this.#plan = plan;
    this.#thinking = plan.startsInThinking;
    this.#endOfThinking = service.text.tokenizer.idOf("</think>");
    this.#parser = service.text.createOutput({
      thinking: plan.startsInThinking,
      tools: plan.tools,
      stop: plan.stop,
      parseTools: plan.tools.length > 0,
    });
  }

  /** Whether the next token belongs to the thinking. */
  get thinking(): boolean {
    return this.#thinking;
  }

  /** Whether nothing more is wanted of the engine. */
  get done(): boolean {
    return this.#parser.stopped !== null ||
      (!this.#plan.parallelToolCalls && this.#parser.toolCalls > 0);
  }

  *read(token: TokenScore): Generator<ChatPiece> {
    if (token.id === this.#endOfThinking) this.#thinking = false;
    if (this.#plan.request.stopIds.includes(token.id)) return;
    if (this.#plan.request.logprobs !== undefined) {
      const { tokenizer } = this.#service.text;
      this.#logprobs.push(chatLogprob(tokenizer, token, this.#plan.tokensById));
    }
    yield* this.#deltas(this.#parser.push(token.id));
  }

  finish(): Generator<ChatPiece> {
    return this.#deltas(this.#parser.finish());
  }

  /** The log-probabilities of tokens since the last delta. */
  takeLogprobs(): ChatLogprob[] {
    return this.#logprobs.splice(0);
  }

  /** "length" wins when a call was cut off: half a call must not be carried out. */
  finishReason(engineReason: "stop" | "length"): ChatFinishReason {
    if (engineReason === "length" || this.#parser.cutOff) return "length";
    return this.#parser.toolCalls > 0 ? "tool_calls" : "stop";
  }

  *#deltas(events: readonly OutputEvent[]): Generator<ChatPiece> {
    for (const event of events) {
      if (event.type !== "reasoning") this.#thinking = false;
      const delta = deltaOf(event);
      if (delta) yield { type: "delta", delta, logprobs: this.takeLogprobs() };
    }
  }
}

function deltaOf(event: OutputEvent): ChatDelta | null {
  switch (event.type) {
    case "reasoning":
      return { reasoning_content: event.text, reasoning: event.text };
    case "content":
      return { content: event.text };
    case "tool_start": {
      const { index, id, name } = event;
      return { tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] };
    }
    case "tool_arguments":
      return { tool_calls: [{ index: event.index, function: { arguments: event.text } }] };
    case "tool_end":
      return null;
    default:
      return event satisfies never;
  }
}
