import { Tokenizer as Encoder } from "@huggingface/tokenizers";
import { finish, type Steps } from "./steps.ts";
import { textSlices } from "./text_slices.ts";
import { type AddedToken, Vocabulary, type VocabularyParts } from "./vocabulary.ts";

interface TokenizerFile {
  readonly added_tokens: readonly AddedToken[];
  readonly model: { readonly vocab: Readonly<Record<string, number>> };
}

/** How text is encoded. */
export interface EncodeOptions {
  /** Whether the text of an added token becomes its id; else it is text like any other. */
  readonly special: boolean;
}

/** UTF-16 units that are encoded in one step: some ten milliseconds. */
const SLICE_LENGTH = 8192;

/**
 * Text to token ids and back, from a snapshot's `tokenizer.json` (byte-level BPE). Splitting into words and merging are
 * the library's; splitting at added tokens is done here, because the library cannot leave it out, and
 * decoding is done on bytes by the vocabulary, because the library trims spaces before punctuation.
 */
export class Tokenizer extends Vocabulary {
  readonly #encoder: Encoder;

  /** Builds a tokenizer from the parsed `tokenizer.json`. @throws {TypeError} if it has another shape. */
  constructor(file: unknown) {
    super(partsOf(file));
    this.#encoder = new Encoder({ ...(file as object), added_tokens: [] }, {});
  }

  /** Reads `tokenizer.json` of a snapshot folder. @throws {TypeError} naming the file and the fault. */
  static async load(dir: string): Promise<Tokenizer> {
    const path = `${dir}/tokenizer.json`;
    try {
      return new Tokenizer(JSON.parse(await Deno.readTextFile(path)));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new TypeError(`Cannot load "${path}": ${reason}`, { cause: error });
    }
  }

  /** Token ids of a text, without any BOS or EOS. */
  encode(text: string, options: EncodeOptions): number[] {
    return finish(this.encodeSteps(text, options));
  }

  /** The same in steps. */
  *encodeSteps(text: string, { special }: EncodeOptions): Steps<number[]> {
    const ids: number[] = [];
    const pattern = special ? this.addedPattern : null;
    let start = 0;
    for (const match of pattern === null ? [] : text.matchAll(pattern)) {
      yield* this.#encodePlain(text.slice(start, match.index), ids);
      ids.push(this.idOf(match[0])!);
      start = match.index + match[0].length;
    }
    yield* this.#encodePlain(text.slice(start), ids);
    return ids;
  }

  /** Appends the ids of a text without added tokens. */
  *#encodePlain(text: string, ids: number[]): Steps<void> {
    for (const slice of textSlices(text, SLICE_LENGTH)) {
      yield;
      for (const id of this.#encoder.encode(slice, { add_special_tokens: false }).ids) ids.push(id);
    }
  }
}

function partsOf(file: unknown): VocabularyParts {
  const { added_tokens: added, model } = checkFile(file);
  const pieces: (string | undefined)[] = [];
  for (const [piece, id] of Object.entries(model.vocab)) pieces[id] = piece;
  for (const token of added) pieces[token.id] ??= token.content;
  return { added, pieces };
}

function checkFile(file: unknown): TokenizerFile {
  const { added_tokens: added, model } = (file ?? {}) as {
    added_tokens?: unknown;
    model?: { type?: unknown; vocab?: unknown };
  };
  if (model?.type !== "BPE" || typeof model.vocab !== "object" || model.vocab === null) {
    throw new TypeError(
      `model.type is ${JSON.stringify(model?.type)}, expected "BPE" with a vocab`,
    );
  }
  if (!Array.isArray(added)) throw new TypeError("added_tokens is missing");
  for (const token of added) {
    for (const flag of ["lstrip", "rstrip", "single_word"]) {
      if (token[flag] === true) {
        throw new TypeError(`added token "${token.content}" has ${flag}, which is not supported`);
      }
    }
  }
  return file as TokenizerFile;
}
