/**
 * Random numbers at disk speed: a pool is filled once, a tensor is a run through it from a place of its own.
 * A pool's length is a prime, so that no two rows of a matrix begin at the same place.
 * @module
 */
import { encode } from "../../weights/mod.ts";

/** Most elements of a pool. */
const MOST_ELEMENTS = 2 ** 23;
/** Fewest elements of a pool. */
const LEAST_ELEMENTS = 2 ** 16;
/** Sums of four random bytes: nearly normal, never further than 3.5 deviations from the mean. */
const SUMS = 1021;
const SUM_MEAN = 510;
const SUM_STD = Math.sqrt(4 * (256 ** 2 - 1) / 12);

/** The pools of one seed, each made when it is first asked for. */
export class Pools {
  readonly #seed: number;
  readonly #elements: number;
  readonly #made = new Map<string, Uint8Array<ArrayBuffer>>();
  #sums: Uint16Array | undefined;

  /** Pools for tensors of up to `largest` elements: no larger than pays. */
  constructor(seed: number, largest: number) {
    this.#seed = seed;
    this.#elements = primeUpTo(Math.min(MOST_ELEMENTS, Math.max(LEAST_ELEMENTS, largest)));
  }

  /** e4m3 codes, nearly normal with deviation `CODE_STD`; no NaN among them. */
  codes(): Uint8Array<ArrayBuffer> {
    return this.#pool("codes", () => {
      const table = encode(bell(0, CODE_STD), "F8_E4M3");
      const sums = this.#bellSums();
      const codes = new Uint8Array(sums.length);
      for (let i = 0; i < sums.length; i++) codes[i] = table[sums[i]!]!;
      return codes;
    });
  }

  /** BF16 numbers, nearly normal. */
  bf16(mean: number, std: number): Uint8Array<ArrayBuffer> {
    return this.#pool(`bf16 ${mean} ${std}`, () => {
      const table = new Uint16Array(encode(bell(mean, std), "BF16").buffer);
      const sums = this.#bellSums();
      const halves = new Uint16Array(sums.length);
      for (let i = 0; i < sums.length; i++) halves[i] = table[sums[i]!]!;
      return new Uint8Array(halves.buffer);
    });
  }

  /** BF16 rows of `mean.length` channels, each nearly normal. Their number is a prime: later ones repeat the first. */
  rows(mean: Float32Array, std: Float32Array): Uint8Array<ArrayBuffer> {
    return this.#pool(`rows ${mean.length}`, () => {
      const count = primeUpTo(Math.floor(this.#elements / mean.length));
      const values = new Float32Array(count * mean.length);
      const sums = this.#bellSums();
      for (let i = 0; i < values.length; i++) {
        const channel = i % mean.length;
        values[i] = mean[channel]! + (sums[i]! - SUM_MEAN) / SUM_STD * std[channel]!;
      }
      return encode(values, "BF16");
    });
  }

  #pool(key: string, make: () => Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const made = this.#made.get(key) ?? make();
    this.#made.set(key, made);
    return made;
  }

  #bellSums(): Uint16Array {
    if (this.#sums) return this.#sums;
    const sums = new Uint16Array(this.#elements);
    for (let i = 0; i < sums.length; i++) {
      const word = mix(i, this.#seed);
      sums[i] = (word & 255) + (word >>> 8 & 255) + (word >>> 16 & 255) + (word >>> 24);
    }
    return this.#sums = sums;
  }
}

/** Deviation of the codes of `Pools.codes` as numbers: their extremes are the largest code. */
export const CODE_STD = 448 / (SUM_MEAN / SUM_STD);

/** Bytes of a pool from byte `start` on, around and around, `length` of them, in pieces without copying. */
export function* tiled(pool: Uint8Array, start: number, length: number): Generator<Uint8Array> {
  let at = start % pool.length;
  for (let left = length; left > 0;) {
    const piece = pool.subarray(at, Math.min(pool.length, at + left));
    yield piece;
    left -= piece.length;
    at = 0;
  }
}

/** A few normal numbers, computed one by one. */
export function normals(count: number, salt: number, mean: number, std: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => {
    const word = mix(i, salt);
    const sum = (word & 255) + (word >>> 8 & 255) + (word >>> 16 & 255) + (word >>> 24);
    return mean + (sum - SUM_MEAN) * (std / SUM_STD);
  });
}

/** A few evenly spread numbers, computed one by one. */
export function evens(count: number, salt: number, low: number, high: number): Float32Array {
  return Float32Array.from(
    { length: count },
    (_, i) => low + (high - low) * mix(i, salt) / 2 ** 32,
  );
}

/** A salt that depends on every character of a name. */
export function saltOf(name: string, seed: number): number {
  let salt = seed >>> 0;
  for (let i = 0; i < name.length; i++) salt = mix(salt, name.charCodeAt(i));
  return salt;
}

/** A 32-bit mix of two integers: multiplications and shifts that let every bit reach every other. */
function mix(i: number, salt: number): number {
  let x = Math.imul(i + 0x6d2b79f5, 0x9e3779b1) ^ Math.imul(salt + 1, 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

/** The values that the sums stand for. */
function bell(mean: number, std: number): Float32Array {
  return Float32Array.from({ length: SUMS }, (_, sum) => mean + (sum - SUM_MEAN) * std / SUM_STD);
}

function primeUpTo(most: number): number {
  for (let n = most; n > 2; n--) {
    let divisor = 2;
    while (divisor * divisor <= n && n % divisor !== 0) divisor++;
    if (divisor * divisor > n) return n;
  }
  return Math.max(1, most);
}
