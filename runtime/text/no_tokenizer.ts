/** The text side of a snapshot without a tokenizer: ids in, ids out. @module */
import type { Steps } from "./steps.ts";
import { Tokenizer } from "./tokenizer.ts";

/** Text for a model that has no tokenizer. */
export class NoTokenizerError extends Error {
  override name = "NoTokenizerError";
}

/** The `tokenizer.json` of a snapshot that has none: every id is real and stands for no text. */
export const NO_TOKENS: unknown = Object.freeze({
  added_tokens: [],
  normalizer: null,
  pre_tokenizer: null,
  post_processor: null,
  decoder: null,
  model: { type: "BPE", vocab: {}, merges: [] },
});

/** A tokenizer that knows no token. */
export class NoTokenizer extends Tokenizer {
  constructor() {
    super(NO_TOKENS);
  }

  /** @throws {NoTokenizerError} for any text but an empty one */
  // deno-lint-ignore require-yield
  override *encodeSteps(text: string): Steps<number[]> {
    if (text === "") return [];
    throw new NoTokenizerError(
      "Cannot read text: the model folder has no tokenizer.json, send the prompt as token ids",
    );
  }
}

/** Whether a snapshot folder has a tokenizer. */
export async function hasTokenizer(dir: string): Promise<boolean> {
  try {
    await Deno.stat(`${dir}/tokenizer.json`);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
