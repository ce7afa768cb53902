/** Tokens of a chat answer to deltas. @module */
import type { OutputEvent, OutputParser, TokenScore } from "../runtime/mod.ts";
import type { ChatDelta, ChatFinishReason, ChatPiece, ChatPlan } from "./chat_piece.ts";
import type { Service } from "./service.ts";
import { type ChatLogprob, chatLogprob } from "./token_text.ts";

/** Tokens in, deltas out. */
export class ChatReader {
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
    this.#endOfThinking = service.text.vocabulary.idOf("</think>");
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
      const { vocabulary } = this.#service.text;
      this.#logprobs.push(chatLogprob(vocabulary, token, this.#plan.tokensById));
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
