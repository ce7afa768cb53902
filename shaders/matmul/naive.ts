/** Matrix product in plain loops. @module */

/** `y[row, i] = sum_j w[i, j] x[row, j]`: x [rows, k], w [n, k], y [rows, n], in double precision. */
export function matmulNaive(
  x: ArrayLike<number>,
  w: ArrayLike<number>,
  k: number,
): Float64Array<ArrayBuffer> {
  const rows = x.length / k;
  const n = w.length / k;
  const y = new Float64Array(rows * n);
  for (let row = 0; row < rows; row++) {
    for (let i = 0; i < n; i++) {
      let sum = 0;
      for (let j = 0; j < k; j++) sum += w[i * k + j]! * x[row * k + j]!;
      y[row * n + i] = sum;
    }
  }
  return y;
}
