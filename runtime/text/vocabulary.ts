import { bytesToPiece, pieceToBytes } from "./byte_alphabet.ts";
import { finish, type Steps } from "./steps.ts";

/** A token that stands outside the vocabulary's merges. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  /** Control tokens are special and never printed; markup such as `<think>` is added but not special. */
  readonly special: boolean;
}

/** What a vocabulary is made of, as it may be sent to another thread. */
export interface VocabularyParts {
  readonly added: readonly AddedToken[];
  /** By id: what it stands for, in the byte alphabet, or an added token's text. */
  readonly pieces: readonly (string | undefined)[];
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
  /** What it was made of. */
  readonly parts: VocabularyParts;
  readonly #added: ReadonlyMap<number, AddedToken>;
  readonly #addedIds: ReadonlyMap<string, number>;
  readonly #splitter: RegExp | null;

  constructor(parts: VocabularyParts) {
    const { added } = parts;
    this.parts = parts;
    this.#added = new Map(added.map((token) => [token.id, token]));
    this.#addedIds = new Map(added.map((token) => [token.content, token.id]));
    this.#splitter = alternation([...this.#addedIds.keys()]);
  }

  /** How many ids exist, counted from 0: an id from here on must never be sampled. */
  get size(): number {
    return this.parts.pieces.length;
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

  /** The id of an added token, or, after a search, of a vocabulary entry that stands for exactly this text. */
  idOf(token: string): number | undefined {
    const added = this.#addedIds.get(token);
    if (added !== undefined) return added;
    const id = this.parts.pieces.indexOf(bytesToPiece(new TextEncoder().encode(token)));
    return id < 0 ? undefined : id;
  }

  /** The bytes an id stands for: a piece of UTF-8 that may start or end inside a character. */
  pieceBytes(id: number): Uint8Array {
    const added = this.#added.get(id);
    if (added) return new TextEncoder().encode(added.content);
    const piece = this.parts.pieces[id];
    return piece === undefined ? new Uint8Array() : pieceToBytes(piece);
  }

  /** Whether an id is a control token, which is never printed. */
  isSpecial(id: number): boolean {
    return this.#added.get(id)?.special ?? false;
  }
}

function alternation(contents: readonly string[]): RegExp | null {
  if (contents.length === 0) return null;
  const longestFirst = contents.toSorted((a, b) => b.length - a.length);
  return new RegExp(longestFirst.map(RegExp.escape).join("|"), "gu");
}
