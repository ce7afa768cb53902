/** A conversation with a chat server over HTTP. @module */
import { TextLineStream } from "@std/streams";

/** One turn, as the wire has it. */
export interface Turn {
  readonly role: "system" | "user" | "assistant";
  readonly content: string;
}

/** What an answer brings, in the order it comes; `end` is last. */
export type AnswerEvent =
  | { readonly type: "reasoning" | "content" | "call"; readonly text: string }
  | {
    readonly type: "end";
    readonly reason: string;
    readonly tokens: number;
    readonly cached: number;
    /** Null where the server does not say. */
    readonly tokensPerSecond: number | null;
  };

/** Where a server is and how it is asked. */
export interface ChatClientOptions {
  readonly url: string;
  readonly apiKey?: string | undefined;
  /** Absent: as the model does by default. */
  readonly enableThinking?: boolean | undefined;
}

/** An answer that the server refused or broke off, in its own words. */
export class ChatError extends Error {
  override name = "ChatError";
}

interface Chunk {
  readonly error?: { readonly message?: string };
  readonly choices?: readonly {
    readonly finish_reason?: string | null;
    readonly delta?: {
      readonly content?: string | null;
      readonly reasoning_content?: string | null;
      readonly tool_calls?: readonly {
        readonly function?: { readonly name?: string; readonly arguments?: string };
      }[];
    };
  }[];
  readonly usage?: {
    readonly completion_tokens?: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number };
  } | null;
  readonly timings?: { readonly predicted_per_second?: number };
}

/**
 * Where the server stands: "ready", what it says while it loads, or null if none answers.
 * @throws {ChatError} if what answers is no such server
 */
export async function serverState({ url }: ChatClientOptions): Promise<string | null> {
  let response: Response;
  try {
    response = await fetch(`${url}/health`, { signal: AbortSignal.timeout(5000) });
  } catch {
    return null;
  }
  const body = await response.json().catch(() => ({}));
  if (response.ok) return "ready";
  if (response.status === 503) return String(body.message ?? body.status ?? response.status);
  throw new ChatError(
    `Cannot chat with ${url}: its /health answers ${response.status}, wanted 200 or 503`,
  );
}

/**
 * Streams the answer to a conversation. Aborting `signal` ends it without an error.
 * @throws {ChatError} with the server's message if it refuses, breaks off or cannot be reached
 */
export async function* streamAnswer(
  turns: readonly Turn[],
  options: ChatClientOptions,
  signal: AbortSignal,
): AsyncGenerator<AnswerEvent> {
  try {
    yield* readAnswer(await request(turns, options, signal));
  } catch (error) {
    if (signal.aborted) return;
    if (error instanceof ChatError) throw error;
    throw new ChatError(`Cannot reach ${options.url}: ${(error as Error).message}`);
  }
}

async function request(
  turns: readonly Turn[],
  { url, apiKey, enableThinking }: ChatClientOptions,
  signal: AbortSignal,
): Promise<Response> {
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: "POST",
    headers: {
      "content-type": "application/json",
      ...(apiKey ? { authorization: `Bearer ${apiKey}` } : {}),
    },
    body: JSON.stringify({
      messages: turns,
      stream: true,
      stream_options: { include_usage: true },
      ...(enableThinking === undefined
        ? {}
        : { chat_template_kwargs: { enable_thinking: enableThinking } }),
    }),
    signal,
  });
  if (response.ok) return response;
  const text = await response.text();
  throw new ChatError(errorMessage(text) ?? `The server answered ${response.status}: ${text}`);
}

async function* readAnswer(response: Response): AsyncGenerator<AnswerEvent> {
  const lines = response.body!.pipeThrough(new TextDecoderStream()).pipeThrough(
    new TextLineStream(),
  );
  const started = performance.now();
  let [reason, tokens, cached, pieces] = ["", 0, 0, 0];
  let tokensPerSecond: number | null = null;
  for await (const line of lines) {
    // Anything else is a keep-alive comment or the empty line after an event.
    if (!line.startsWith("data:")) continue;
    const data = line.slice(5).trim();
    if (data === "[DONE]") break;
    const chunk: Chunk = JSON.parse(data);
    if (chunk.error) throw new ChatError(chunk.error.message ?? data);
    for (const event of deltas(chunk)) {
      pieces++;
      yield event;
    }
    reason = chunk.choices?.[0]?.finish_reason ?? reason;
    tokens = chunk.usage?.completion_tokens ?? tokens;
    cached = chunk.usage?.prompt_tokens_details?.cached_tokens ?? cached;
    tokensPerSecond = chunk.timings?.predicted_per_second ?? tokensPerSecond;
  }
  if (reason === "") throw new ChatError("The answer was cut off: the server closed the stream");
  const seconds = (performance.now() - started) / 1000;
  const count = tokens || pieces;
  yield {
    type: "end",
    reason,
    tokens: count,
    cached,
    tokensPerSecond: tokensPerSecond ?? (seconds > 0 ? count / seconds : null),
  };
}

function* deltas(chunk: Chunk): Generator<AnswerEvent> {
  for (const { delta } of chunk.choices ?? []) {
    if (delta?.reasoning_content) yield { type: "reasoning", text: delta.reasoning_content };
    if (delta?.content) yield { type: "content", text: delta.content };
    for (const { function: call } of delta?.tool_calls ?? []) {
      const text = `${call?.name ? `\n${call.name} ` : ""}${call?.arguments ?? ""}`;
      if (text !== "") yield { type: "call", text };
    }
  }
}

function errorMessage(body: string): string | undefined {
  try {
    const { error } = JSON.parse(body);
    return typeof error?.message === "string" ? error.message : undefined;
  } catch {
    return undefined;
  }
}
