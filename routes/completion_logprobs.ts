/** The `logprobs` object of plain completions. @module */
import type { TokenScore } from "../runtime/mod.ts";
import type { Tokens } from "./service.ts";
import { bytesOf, completionToken, finiteLogprob } from "./token_text.ts";

/** A token and its score; the first one of a prompt has none. */
export type CompletionToken = TokenScore | { readonly id: number; readonly logprob: null };

/** Four lists with an entry for each token. */
export interface CompletionLogprobs {
  tokens: string[];
  token_logprobs: (number | null)[];
  top_logprobs: (Record<string, number> | null)[];
  /** Where each token begins, in characters from the beginning of the text. */
  text_offset: number[];
}

/** Writes tokens down, keeping count of the characters that came before. */
export class LogprobWriter {
  readonly #tokens: Tokens;
  readonly #byId: boolean;
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #offset = 0;

  constructor(tokens: Tokens, byId: boolean) {
    this.#tokens = tokens;
    this.#byId = byId;
  }

  write(scored: readonly CompletionToken[]): CompletionLogprobs {
    const written = emptyLogprobs();
    for (const token of scored) {
      const name = this.#name(token.id);
      written.tokens.push(name);
      written.token_logprobs.push(token.logprob === null ? null : finiteLogprob(token.logprob));
      written.top_logprobs.push(token.logprob === null ? null : this.#alternatives(token, name));
      written.text_offset.push(this.#offset);
      // Characters, not UTF-16 units: clients of other languages slice by them.
      const text = this.#decoder.decode(bytesOf(this.#tokens, token.id), { stream: true });
      this.#offset += [...text].length;
    }
    return written;
  }

  /** The best alternatives, and the token itself if it is not among them. */
  #alternatives(token: TokenScore, name: string): Record<string, number> {
    const alternatives: Record<string, number> = {};
    for (const one of [...token.top ?? [], token]) {
      const key = one === token ? name : this.#name(one.id);
      if (!Object.hasOwn(alternatives, key)) {
        Object.defineProperty(alternatives, key, {
          value: finiteLogprob(one.logprob),
          enumerable: true,
        });
      }
    }
    return alternatives;
  }

  #name(id: number): string {
    return completionToken(this.#tokens, id, this.#byId);
  }
}

/** Lists without entries. */
export function emptyLogprobs(): CompletionLogprobs {
  return { tokens: [], token_logprobs: [], top_logprobs: [], text_offset: [] };
}

/** Adds the entries of `more` to `lists`; one by one, because a call takes no hundred thousand arguments. */
export function appendLogprobs(lists: CompletionLogprobs, more: CompletionLogprobs): void {
  for (let i = 0; i < more.tokens.length; i++) {
    lists.tokens.push(more.tokens[i]!);
    lists.token_logprobs.push(more.token_logprobs[i]!);
    lists.top_logprobs.push(more.top_logprobs[i]!);
    lists.text_offset.push(more.text_offset[i]!);
  }
}
