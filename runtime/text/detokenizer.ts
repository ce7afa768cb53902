import type { Tokenizer } from "./tokenizer.ts";

/** Turns ids into text one by one, holding back characters whose bytes are not all there yet. */
export class Detokenizer {
  readonly #tokenizer: Tokenizer;
  #decoder = new TextDecoder("utf-8", { ignoreBOM: true });

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  /** The characters that this id completes. Control tokens and unknown ids are silent. */
  push(id: number): string {
    if (this.#tokenizer.isSpecial(id)) return "";
    return this.#decoder.decode(this.#tokenizer.pieceBytes(id), { stream: true });
  }

  /** U+FFFD if a character was left incomplete; the next id starts afresh. */
  flush(): string {
    return this.#decoder.decode();
  }
}
