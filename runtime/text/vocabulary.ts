import { bytesToPiece, pieceToBytes } from "./byte_alphabet.ts";
import { finish, type Steps } from "./steps.ts";

/** A token that stands outside the vocabulary's merges. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Control tokens are special and never printed; markup such as `<think>` is added but not special. */
  readonly special: boolean;
}

/** The part of `tokenizer.json` that ids and their bytes are known by. */
export interface VocabularyFile {
  readonly added_tokens: readonly AddedToken[];
  readonly model: { readonly vocab: Readonly<Record<string, number>> };
}

/** How ids are decoded. */
export interface DecodeOptions {
  /** Whether control tokens are left out. */
  readonly skipSpecial: boolean;
}

/** Ids that are decoded in one step: some milliseconds. */
const IDS_A_STEP = 4096;

/**
 * What the ids of a snapshot stand for. Text to ids takes a `Tokenizer`, which knows the merges too and is many times
 * larger.
 */
export class Vocabulary {
  readonly #pieces: readonly (string | undefined)[];
  readonly #ids: ReadonlyMap<string, number>;
  readonly #added: ReadonlyMap<number, AddedToken>;
  readonly #addedIds: ReadonlyMap<string, number>;
  readonly #splitter: RegExp | null;

  /** Takes the parsed `tokenizer.json`. @throws {TypeError} if it has another shape. */
  constructor(file: unknown) {
    const { added_tokens: added, model } = checkFile(file);
    this.#ids = new Map(Object.entries(model.vocab));
    const pieces: (string | undefined)[] = [];
    for (const [piece, id] of this.#ids) pieces[id] = piece;
    for (const token of added) pieces[token.id] ??= token.content;
    this.#pieces = pieces;
    this.#added = new Map(added.map((token) => [token.id, token]));
    this.#addedIds = new Map(added.map((token) => [token.content, token.id]));
    this.#splitter = alternation([...this.#addedIds.keys()]);
  }

  /** Reads `tokenizer.json` of a snapshot folder. @throws {TypeError} naming the file and the fault. */
  static async load<Kind extends Vocabulary>(
    this: new (file: unknown) => Kind,
    dir: string,
  ): Promise<Kind> {
    const path = `${dir}/tokenizer.json`;
    try {
      return new this(JSON.parse(await Deno.readTextFile(path)));
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new TypeError(`Cannot load "${path}": ${reason}`, { cause: error });
    }
  }

  /** How many ids exist, counted from 0: an id from here on must never be sampled. */
  get size(): number {
    return this.#pieces.length;
  }

  /** All tokens outside the vocabulary's merges, by id. */
  get added(): ReadonlyMap<number, AddedToken> {
    return this.#added;
  }

  /** A regular expression with the flag `g` that finds added tokens, longest first; null without any. */
  get addedPattern(): RegExp | null {
    return this.#splitter && new RegExp(this.#splitter);
  }

  /** The text of ids; incomplete UTF-8 becomes U+FFFD, unknown ids nothing. */
  decode(ids: readonly number[], options: DecodeOptions): string {
    return finish(this.decodeSteps(ids, options));
  }

  /** The same in steps. */
  *decodeSteps(ids: readonly number[], { skipSpecial }: DecodeOptions): Steps<string> {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    let text = "";
    for (const [i, id] of ids.entries()) {
      if (i % IDS_A_STEP === IDS_A_STEP - 1) yield;
      if (skipSpecial && this.isSpecial(id)) continue;
      text += decoder.decode(this.pieceBytes(id), { stream: true });
    }
    return text + decoder.decode();
  }

  /** The id of an added token, or of a vocabulary entry that stands for exactly this text. */
  idOf(token: string): number | undefined {
    return this.#addedIds.get(token) ??
      this.#ids.get(bytesToPiece(new TextEncoder().encode(token)));
  }

  /** The bytes an id stands for: a piece of UTF-8 that may start or end inside a character. */
  pieceBytes(id: number): Uint8Array {
    const added = this.#added.get(id);
    if (added) return new TextEncoder().encode(added.content);
    const piece = this.#pieces[id];
    return piece === undefined ? new Uint8Array() : pieceToBytes(piece);
  }

  /** Whether an id is a control token, which is never printed. */
  isSpecial(id: number): boolean {
    return this.#added.get(id)?.special ?? false;
  }
}

function checkFile(file: unknown): VocabularyFile {
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
  return file as VocabularyFile;
}

function alternation(contents: readonly string[]): RegExp | null {
  if (contents.length === 0) return null;
  const longestFirst = contents.toSorted((a, b) => b.length - a.length);
  return new RegExp(longestFirst.map(RegExp.escape).join("|"), "gu");
}
