/** Row gather in plain loops. @module */

/** `y[i] = x[heads[i]]`: x [rows, width], y [heads, width]. */
export function gatherRowsNaive(
  x: ArrayLike<number>,
  heads: ArrayLike<number>,
  width: number,
): Float64Array<ArrayBuffer> {
  const y = new Float64Array(heads.length * width);
  for (let i = 0; i < heads.length; i++) {
    for (let j = 0; j < width; j++) y[i * width + j] = x[heads[i]! * width + j]!;
  }
  return y;
}
