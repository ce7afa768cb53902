/** Floats among the words of a uniform. @module */

/** The bits of `value` as f32. */
export function floatBits(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0]!;
}
