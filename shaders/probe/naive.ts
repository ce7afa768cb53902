/** The probes in plain loops. @module */

/** Sum of every word, modulo 2^32: what the "sums" of the read probe add up to. */
export function naiveRead(words: Uint32Array): number {
  let sum = 0;
  for (const word of words) sum = (sum + word) >>> 0;
  return sum;
}

/** The end of one thread's chains after `rounds` rounds. */
export function naiveMultiply(thread: number, rounds: number): number {
  let sum = 0;
  for (const offset of [0, 0.1, 0.2]) {
    let x = 1 + thread * 0.001 + offset;
    for (let i = 0; i < 4 * rounds; i++) x = x * 0.999 + 0.001;
    sum += 4 * x;
  }
  return sum;
}
