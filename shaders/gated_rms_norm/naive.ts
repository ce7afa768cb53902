/** Gated RMSNorm in plain loops. @module */

/** Inputs, all of vectors of `weight.length` numbers. */
export interface GatedRmsNormInput {
  /** [vectors, width]. */
  readonly x: ArrayLike<number>;
  /** The gate, as x. */
  readonly z: ArrayLike<number>;
  /** [width]; a plain factor, not zero-centred. */
  readonly weight: ArrayLike<number>;
}

/** `y = x / sqrt(mean(x^2) + epsilon) * weight * silu(z)` of each vector. */
export function gatedRmsNormNaive(
  { x, z, weight }: GatedRmsNormInput,
  epsilon: number,
): Float64Array {
  const width = weight.length;
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    let sum = 0;
    for (let i = 0; i < width; i++) sum += x[start + i]! ** 2;
    const scale = 1 / Math.sqrt(sum / width + epsilon);
    for (let i = 0; i < width; i++) {
      const gate = z[start + i]!;
      y[start + i] = x[start + i]! * scale * weight[i]! * gate / (1 + Math.exp(-gate));
    }
  }
  return y;
}
