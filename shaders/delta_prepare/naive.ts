/** What the delta rule needs of each row, in plain loops: gates, normalised queries and keys. @module */

/** Parameters of the gates, one a value head. */
export interface DeltaGateWeights {
  readonly aLog: ArrayLike<number>;
  readonly dtBias: ArrayLike<number>;
}

/**
 * Gates of each row of `ba` [rows, 2 heads] (b of every head, then a of every head):
 * `beta = sigmoid(b)`, `g = -exp(aLog) softplus(a + dtBias)` (the logarithm of the decay), both [rows, heads].
 */
export function deltaGatesNaive(
  ba: ArrayLike<number>,
  { aLog, dtBias }: DeltaGateWeights,
): { beta: Float64Array; g: Float64Array } {
  const heads = aLog.length;
  const rows = ba.length / (2 * heads);
  const beta = new Float64Array(rows * heads);
  const g = new Float64Array(rows * heads);
  for (let row = 0; row < rows; row++) {
    for (let h = 0; h < heads; h++) {
      const b = ba[row * 2 * heads + h]!;
      const a = ba[row * 2 * heads + heads + h]! + dtBias[h]!;
      beta[row * heads + h] = 1 / (1 + Math.exp(-b));
      g[row * heads + h] = -Math.exp(aLog[h]!) * (a > 20 ? a : Math.log1p(Math.exp(a)));
    }
  }
  return { beta, g };
}

/** Each vector of `width` numbers of `x` divided by `sqrt(sum of squares + epsilon)`. */
export function l2NormNaive(x: ArrayLike<number>, width: number, epsilon = 1e-6): Float64Array {
  const y = new Float64Array(x.length);
  for (let start = 0; start < x.length; start += width) {
    let sum = 0;
    for (let i = start; i < start + width; i++) sum += x[i]! ** 2;
    const scale = 1 / Math.sqrt(sum + epsilon);
    for (let i = start; i < start + width; i++) y[i] = x[i]! * scale;
  }
  return y;
}

/** Head counts and sizes of a Gated DeltaNet mixer. */
export interface DeltaShape {
  readonly keyHeads: number;
  readonly valueHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
}

/**
 * Splits rows [rows, 2 keyHeads keyDim + valueHeads valueDim] that come out of the convolution:
 * q and k [rows, keyHeads, keyDim] with length 1, q also times `keyDim^-0.5`, and v [rows, valueHeads, valueDim].
 */
export function splitQkvNaive(
  x: ArrayLike<number>,
  { keyHeads, valueHeads, keyDim, valueDim }: DeltaShape,
): { q: Float64Array; k: Float64Array; v: Float64Array } {
  const keys = keyHeads * keyDim;
  const values = valueHeads * valueDim;
  const stride = 2 * keys + values;
  const rows = x.length / stride;
  const part = (start: number, width: number): Float64Array =>
    Float64Array.from(
      { length: rows * width },
      (_, i) => x[Math.floor(i / width) * stride + start + i % width]!,
    );
  const q = l2NormNaive(part(0, keys), keyDim).map((value) => value / Math.sqrt(keyDim));
  const k = l2NormNaive(part(keys, keys), keyDim);
  return { q, k, v: part(2 * keys, values) };
}
