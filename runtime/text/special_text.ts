/**
 * Keeps a caller's text from becoming special tokens. Before a template is rendered, each special
 * token spelt out in a caller's text is replaced by two private-use code points: an escape and one
 * that numbers the token. The template cannot tell them from text, and a caller cannot forge them,
 * because the escape itself is escaped the same way.
 * @module
 */

const ESCAPE = "\u{10FFFD}";
const FIRST_NUMBER = 0x10F000;

/** A key that no escaped text contains, for values that must come through a template untouched. */
export const UNTOUCHED_KEY = `${ESCAPE}untouched`;

/** Replaces and restores spelt-out tokens of one vocabulary. */
export class SpecialText {
  readonly #tokens: readonly string[];
  readonly #numbers: ReadonlyMap<string, number>;
  readonly #pattern: RegExp;

  /**
   * @param tokens The tokens' texts, such as `<|im_end|>`; fewer than 4,000. Instances that share this
   * list can restore each other's text.
   * @param escaped Those among them that `escape` replaces; all unless given.
   */
  constructor(tokens: readonly string[], escaped: readonly string[] = tokens) {
    if (tokens.length >= 4000) {
      throw new RangeError(`Cannot escape ${tokens.length} special tokens: at most 3999`);
    }
    this.#tokens = [...tokens, ESCAPE];
    this.#numbers = new Map(this.#tokens.map((token, i) => [token, i]));
    // Longest first: a token may be the beginning of another.
    const choices = escaped.toSorted((a, b) => b.length - a.length).concat(ESCAPE);
    this.#pattern = new RegExp(choices.map(RegExp.escape).join("|"), "gu");
  }

  /** Text in which none of the escaped tokens is spelt out. */
  escape(text: string): string {
    return text.replace(
      this.#pattern,
      (token) => ESCAPE + String.fromCodePoint(FIRST_NUMBER + this.#numbers.get(token)!),
    );
  }

  /** The text that was escaped. Half an escape, which a template may leave by cutting, is dropped. */
  restore(text: string): string {
    return text.replace(
      /\u{10FFFD}(.?)/gsu,
      (_, number: string) => this.#tokens[(number.codePointAt(0) ?? 0) - FIRST_NUMBER] ?? number,
    );
  }

  /** Escapes every string and key within a JSON value. */
  escapeDeep(value: unknown): unknown {
    if (typeof value === "string") return this.escape(value);
    if (Array.isArray(value)) return value.map((item) => this.escapeDeep(item));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map((
        [key, item],
      ) => [key === UNTOUCHED_KEY ? key : this.escape(key), this.escapeDeep(item)]),
    );
  }
}
