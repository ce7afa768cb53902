/** Finds what is stored under prefixes of a token sequence. @module */

/** A stored thing with its key. */
export interface Keyed {
  /** Ids; where an image stands in the prompt, numbers that come from its content. */
  readonly tokens: Int32Array;
  readonly owner: string;
}

/** A step of a hash chain over 32-bit numbers. */
export type Chain = (before: number, value: number) => number;

/**
 * Things by the hash chain of owner and tokens. A hash only proposes: owner and tokens are compared before
 * anything is found, so that equal hashes can do no harm.
 */
export class PrefixIndex<T extends Keyed> {
  readonly #chain: Chain;
  readonly #byHash = new Map<number, T[]>();
  /** How many are stored with each number of tokens: prefixes of other lengths need no look-up. */
  readonly #lengths = new Map<number, number>();

  constructor(chain: Chain = mix) {
    this.#chain = chain;
  }

  /** Stores a thing. */
  add(value: T): void {
    const hash = this.#hash(value.tokens, value.owner);
    const others = this.#byHash.get(hash);
    if (others) others.push(value);
    else this.#byHash.set(hash, [value]);
    const length = value.tokens.length;
    this.#lengths.set(length, (this.#lengths.get(length) ?? 0) + 1);
  }

  /** Forgets a thing; false if it is not stored. */
  delete(value: T): boolean {
    const hash = this.#hash(value.tokens, value.owner);
    const others = this.#byHash.get(hash) ?? [];
    const at = others.indexOf(value);
    if (at < 0) return false;
    others.splice(at, 1);
    if (others.length === 0) this.#byHash.delete(hash);
    const length = value.tokens.length;
    const left = this.#lengths.get(length)! - 1;
    if (left) this.#lengths.set(length, left);
    else this.#lengths.delete(length);
    return true;
  }

  /** The owner's things whose tokens are a prefix of `tokens` (all of them included), longest first. */
  prefixes(tokens: ArrayLike<number>, owner: string): T[] {
    const found: T[] = [];
    let hash = this.#start(owner);
    for (let length = 1; length <= tokens.length; length++) {
      hash = this.#chain(hash, tokens[length - 1]!);
      if (!this.#lengths.has(length)) continue;
      for (const value of this.#byHash.get(hash) ?? []) {
        if (
          value.tokens.length === length && value.owner === owner && begins(tokens, value.tokens)
        ) {
          found.push(value);
        }
      }
    }
    return found.reverse();
  }

  #hash(tokens: Int32Array, owner: string): number {
    let hash = this.#start(owner);
    for (const token of tokens) hash = this.#chain(hash, token);
    return hash;
  }

  #start(owner: string): number {
    let hash = 0;
    for (let i = 0; i < owner.length; i++) hash = this.#chain(hash, owner.charCodeAt(i));
    return hash;
  }
}

function begins(tokens: ArrayLike<number>, prefix: Int32Array): boolean {
  for (let i = 0; i < prefix.length; i++) if (prefix[i] !== tokens[i]) return false;
  return true;
}

function mix(before: number, value: number): number {
  let hash = Math.imul(before ^ value, 0x9e3779b1);
  hash = Math.imul(hash ^ (hash >>> 15), 0x85ebca6b);
  return (hash ^ (hash >>> 13)) + 0x6b43a9b5 | 0;
}
