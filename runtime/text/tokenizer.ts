import { Tokenizer as Encoder } from "@huggingface/tokenizers";
import { PairMerger, type PairModel } from "./pair_merger.ts";
import { finish, type Steps } from "./steps.ts";
import { textSlices } from "./text_slices.ts";
import { type AddedToken, Vocabulary, type VocabularyParts } from "./vocabulary.ts";

interface TokenizerFile {
  readonly added_tokens: readonly AddedToken[];
  readonly model: {
    readonly vocab: Readonly<Record<string, number>>;
    readonly merges: PairModel["merges"];
    readonly ignore_merges?: boolean | null;
    readonly end_of_word_suffix?: string | null;
    readonly continuing_subword_suffix?: string | null;
  };
}

/** How text is encoded. */
export interface EncodeOptions {
  /** Whether the text of an added token becomes its id; else it is text like any other. */
  readonly special: boolean;
}

/** UTF-16 units that are encoded in one step: some ten milliseconds. */
const SLICE_LENGTH = 8192;
/** Longer slices have a word without end in them, or many that nothing divides. */
const LONG_SLICE = 2 * SLICE_LENGTH;
/** Letters of a word, in the byte alphabet, that the library is not asked to merge in one go. */
const LONG_WORD = 4096;
/** Words of a long slice that are encoded in one step. */
const WORDS_A_STEP = 1024;

/**
 * Text to token ids and back, from a snapshot's `tokenizer.json` (byte-level BPE). Splitting into words and merging are
 * the library's, but for very long words; splitting at added tokens is done here, because the library cannot leave it out, and
 * decoding is done on bytes by the vocabulary, because the library trims spaces before punctuation.
 */
export class Tokenizer extends Vocabulary {
  readonly #encoder: Encoder;
  readonly #model: TokenizerFile["model"];
  /** Made when the first long word comes; null where the model asks for more than merges. */
  #merger: PairMerger | null | undefined;

  /** Builds a tokenizer from the parsed `tokenizer.json`. @throws {TypeError} if it has another shape. */
  constructor(file: unknown) {
    super(partsOf(file));
    this.#encoder = new Encoder({ ...(file as object), added_tokens: [] }, {});
    this.#model = (file as TokenizerFile).model;
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
      if (slice.length < LONG_SLICE) append(ids, this.#encode(slice));
      else yield* this.#encodeLong(slice, ids);
    }
  }

  #encode(text: string): readonly number[] {
    return this.#encoder.encode(text, { add_special_tokens: false }).ids;
  }

  /** As the library, word by word. */
  *#encodeLong(text: string, ids: number[]): Steps<void> {
    const { normalizer, pre_tokenizer: splitter, model } = this.#encoder;
    const merger = splitter && model ? this.#openMerger(model.tokens_to_ids) : null;
    if (!merger) return append(ids, this.#encode(text));
    const words = splitter!(normalizer ? normalizer(text) : text);
    for (const [i, word] of words.entries()) {
      if (i % WORDS_A_STEP === 0) yield;
      const merged = word.length < LONG_WORD ? null : yield* merger.mergeSteps(word);
      append(ids, merged ?? model!([word]).map((piece) => model!.tokens_to_ids.get(piece)!));
    }
  }

  #openMerger(idOf: ReadonlyMap<string, number>): PairMerger | null {
    if (this.#merger !== undefined) return this.#merger;
    const { merges, ignore_merges, end_of_word_suffix, continuing_subword_suffix } = this.#model;
    const plain = !ignore_merges && !end_of_word_suffix && !continuing_subword_suffix;
    return this.#merger = plain ? PairMerger.open({ idOf, merges }) : null;
  }
}

function append(ids: number[], more: readonly number[]): void {
  for (const id of more) ids.push(id);
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
