/** Deterministic test inputs from integer arithmetic: no generator, no state. @module */

/** `length` numbers in (-1, 1), different for each `salt`, without short periods. */
export function pattern(length: number, salt = 1): Float32Array<ArrayBuffer> {
  const values = new Float32Array(length);
  for (let i = 0; i < length; i++) values[i] = ((hash(i, salt) % 2001) - 1000) / 1001;
  return values;
}

/** `length` integers in [0, below). */
export function integers(length: number, below: number, salt = 1): Uint32Array<ArrayBuffer> {
  const values = new Uint32Array(length);
  for (let i = 0; i < length; i++) values[i] = hash(i, salt) % below;
  return values;
}

/** A 32-bit mix of two integers. */
export function hash(i: number, salt: number): number {
  let x = Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(salt + 1, 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 15), 0x2c1b3c6d);
  x = Math.imul(x ^ (x >>> 12), 0x297a2d39);
  return (x ^ (x >>> 15)) >>> 0;
}
