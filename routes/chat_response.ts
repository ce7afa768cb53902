/** Deltas to the wire: chunks of a stream, or one whole answer. @module */
import type { ChatDelta, ChatPiece, ToolCallDelta } from "./chat_piece.ts";
import type { ChatLogprob } from "./token_text.ts";

/** What every chunk of an answer repeats, and which extras were asked for. */
export interface ChatHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
  readonly logprobs: boolean;
  readonly includeUsage: boolean;
}

/** The values of the event stream: role, deltas, finish reason, then usage if asked for. */
export async function* chatChunks(
  pieces: AsyncIterable<ChatPiece>,
  head: ChatHead,
): AsyncGenerator<unknown> {
  yield chunk(head, { role: "assistant", content: "" }, [], null);
  for await (const piece of pieces) {
    if (piece.type === "delta") {
      yield chunk(head, piece.delta, piece.logprobs, null);
      continue;
    }
    const { usage, timings } = piece;
    const last = chunk(head, {}, piece.logprobs, piece.finishReason);
    if (head.includeUsage) {
      yield last;
      yield { ...chunk(head, {}, [], null), choices: [], usage, timings };
    } else {
      yield { ...last, timings };
    }
  }
}

/** The whole answer, put together from the deltas that a stream would have sent. */
export async function wholeChat(
  pieces: AsyncIterable<ChatPiece>,
  head: ChatHead,
): Promise<unknown> {
  const message = new Message();
  const logprobs: ChatLogprob[] = [];
  for await (const piece of pieces) {
    logprobs.push(...piece.logprobs);
    if (piece.type === "delta") {
      message.add(piece.delta);
      continue;
    }
    return {
      id: head.id,
      object: "chat.completion",
      created: head.created,
      model: head.model,
      choices: [{
        index: 0,
        message: message.body(),
        logprobs: head.logprobs ? { content: logprobs, refusal: null } : null,
        finish_reason: piece.finishReason,
      }],
      usage: piece.usage,
      timings: piece.timings,
    };
  }
  throw new Error("Cannot build the answer: its pieces ended without an end");
}

function chunk(
  head: ChatHead,
  delta: ChatDelta & { readonly role?: "assistant" },
  logprobs: readonly ChatLogprob[],
  finishReason: string | null,
) {
  return {
    id: head.id,
    object: "chat.completion.chunk",
    created: head.created,
    model: head.model,
    choices: [{
      index: 0,
      delta,
      logprobs: head.logprobs && logprobs.length > 0 ? { content: logprobs, refusal: null } : null,
      finish_reason: finishReason,
    }],
    ...(head.includeUsage ? { usage: null } : {}),
  };
}

/** A message that grows by deltas. */
class Message {
  #content = "";
  #reasoning: string | null = null;
  readonly #calls: { id: string; name: string; arguments: string }[] = [];

  add(delta: ChatDelta): void {
    this.#content += delta.content ?? "";
    if (delta.reasoning_content !== undefined) {
      this.#reasoning = (this.#reasoning ?? "") + delta.reasoning_content;
    }
    for (const call of delta.tool_calls ?? []) this.#addCall(call);
  }

  body() {
    const calls = this.#calls.map(({ id, name, arguments: text }) => ({
      id,
      type: "function",
      function: { name, arguments: text },
    }));
    return {
      role: "assistant",
      content: this.#content === "" && calls.length > 0 ? null : this.#content,
      refusal: null,
      ...(this.#reasoning === null
        ? {}
        : { reasoning_content: this.#reasoning, reasoning: this.#reasoning }),
      ...(calls.length === 0 ? {} : { tool_calls: calls }),
    };
  }

  #addCall(delta: ToolCallDelta): void {
    const call = this.#calls[delta.index] ??= { id: "", name: "", arguments: "" };
    call.id += delta.id ?? "";
    call.name += delta.function.name ?? "";
    call.arguments += delta.function.arguments;
  }
}
