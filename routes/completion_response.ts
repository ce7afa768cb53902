/** Pieces of plain completions to the wire: chunks of a stream, or one whole answer. @module */
import type { CompletionPiece } from "./completion_answer.ts";
import { appendLogprobs, type CompletionLogprobs, emptyLogprobs } from "./completion_logprobs.ts";
import { addUsage, type UsageBody } from "./usage.ts";

/** What every chunk of an answer repeats, and whether usage was asked for. */
export interface CompletionHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
  readonly includeUsage: boolean;
}

/** The values of the event stream: pieces, each prompt's last one with a finish reason, then usage if asked for. */
export async function* completionChunks(
  pieces: AsyncIterable<CompletionPiece>,
  head: CompletionHead,
): AsyncGenerator<unknown> {
  let usage: UsageBody | null = null;
  for await (const { index, text, logprobs, end } of pieces) {
    if (end) usage = usage ? addUsage(usage, end.usage) : end.usage;
    const choice = { index, text, logprobs, finish_reason: end?.finishReason ?? null };
    yield envelope(head, [choice], head.includeUsage ? { usage: null } : {});
  }
  if (head.includeUsage) yield envelope(head, [], { usage });
}

/** The whole answer, put together from the pieces that a stream would have sent. */
export async function wholeCompletion(
  pieces: AsyncIterable<CompletionPiece>,
  head: CompletionHead,
): Promise<unknown> {
  const choices: Choice[] = [];
  let usage: UsageBody | null = null;
  for await (const { index, text, logprobs, end } of pieces) {
    const choice = choices[index] ??= { index, text: "", logprobs: null, finish_reason: null };
    choice.text += text;
    if (logprobs) appendLogprobs(choice.logprobs ??= emptyLogprobs(), logprobs);
    if (!end) continue;
    choice.finish_reason = end.finishReason;
    usage = usage ? addUsage(usage, end.usage) : end.usage;
  }
  return envelope(head, choices, { usage });
}

interface Choice {
  readonly index: number;
  text: string;
  logprobs: CompletionLogprobs | null;
  finish_reason: string | null;
}

function envelope(
  { id, created, model }: CompletionHead,
  choices: readonly Choice[],
  rest: { readonly usage?: UsageBody | null },
) {
  return { id, object: "text_completion", created, model, choices, ...rest };
}
