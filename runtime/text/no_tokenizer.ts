/** The text side of a snapshot without a tokenizer: ids in, ids out. @module */
import type { Steps } from "./steps.ts";
import { Tokenizer } from "./tokenizer.ts";

/** Text for a model that has no tokenizer. */
export class NoTokenizerError extends Error {
  override name = "NoTokenizerError";
}

/** A tokenizer that knows no token: every id is real and stands for no text. */
export class NoTokenizer extends Tokenizer {
  constructor() {
    super({
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: null,
      post_processor: null,
      decoder: null,
      model: { type: "BPE", vocab: {}, merges: [] },
    });
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
