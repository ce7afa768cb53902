/** RMSNorm in plain loops. @module */

/** Zero-centred RMSNorm of each row of `x` [rows, width] in double precision. */
export function rmsNormNaive(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  width: number,
  epsilon: number,
): Float64Array {
  const y = new Float64Array(x.length);
  for (let row = 0; row < x.length; row += width) {
    let sum = 0;
    for (let i = 0; i < width; i++) sum += x[row + i]! ** 2;
    const scale = 1 / Math.sqrt(sum / width + epsilon);
    for (let i = 0; i < width; i++) y[row + i] = x[row + i]! * scale * (1 + weight[i]!);
  }
  return y;
}
