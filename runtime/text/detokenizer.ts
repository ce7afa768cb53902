import type { Vocabulary } from "./vocabulary.ts";

/** Turns ids into text one by one, holding back characters whose bytes are not all there yet. */
export class Detokenizer {
  readonly #vocabulary: Vocabulary;
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(vocabulary: Vocabulary) {
    this.#vocabulary = vocabulary;
  }

  /** The characters that this id completes. Control tokens and unknown ids are silent. */
  push(id: number): string {
    if (this.#vocabulary.isSpecial(id)) return "";
    return this.#decoder.decode(this.#vocabulary.pieceBytes(id), { stream: true });
  }

  /** U+FFFD if a character was left incomplete; the next id starts afresh. */
  flush(): string {
    return this.#decoder.decode();
  }
}
