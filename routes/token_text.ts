/** How log-probabilities name tokens. @module */
import type { ScoredToken, TokenScore } from "../runtime/mod.ts";
import type { Tokens } from "./service.ts";

/** JSON has no minus infinity: what cannot be sampled is reported as this. */
const LEAST_LOGPROB = -9999;

/** A token of a chat answer with its log-probability. */
export interface ChatLogprob {
  readonly token: string;
  readonly logprob: number;
  readonly bytes: number[];
  readonly top_logprobs: readonly Omit<ChatLogprob, "top_logprobs">[];
}

/** A log-probability that JSON can carry. */
export function finiteLogprob(logprob: number): number {
  return Math.max(LEAST_LOGPROB, logprob);
}

/** The bytes of one id; none for an id beyond the tokenizer's. */
export function bytesOf(tokens: Tokens, id: number): Uint8Array {
  return id < tokens.size ? tokens.pieceBytes(id) : new Uint8Array();
}

/** A token of a chat answer, as the API names it. */
export function chatLogprob(tokens: Tokens, score: TokenScore, byId: boolean): ChatLogprob {
  return {
    ...named(tokens, score, byId),
    top_logprobs: (score.top ?? []).map((one) => named(tokens, one, byId)),
  };
}

/** A token in the lists of plain completions: text, `bytes:\xNN` if it is not whole characters, or `token_id:N`. */
export function completionToken(tokens: Tokens, id: number, byId: boolean): string {
  if (byId) return `token_id:${id}`;
  const bytes = bytesOf(tokens, id);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `bytes:${[...bytes].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("")}`;
  }
}

function named(tokens: Tokens, { id, logprob }: ScoredToken, byId: boolean) {
  const bytes = bytesOf(tokens, id);
  return {
    token: byId ? `token_id:${id}` : new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes),
    logprob: finiteLogprob(logprob),
    bytes: [...bytes],
  };
}
