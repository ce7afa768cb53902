/** Embedding lookup in plain loops. @module */

/** `y[row] = table[ids[row]]`: table [vocab, width], y [rows, width]. */
export function embedNaive(
  ids: ArrayLike<number>,
  table: ArrayLike<number>,
  width: number,
): Float64Array<ArrayBuffer> {
  const y = new Float64Array(ids.length * width);
  for (let row = 0; row < ids.length; row++) {
    for (let i = 0; i < width; i++) y[row * width + i] = table[ids[row]! * width + i]!;
  }
  return y;
}
