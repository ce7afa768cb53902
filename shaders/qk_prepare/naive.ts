/** From a projected row to query, gate, key and value, in plain loops. @module */
import { rmsNormNaive } from "../rms_norm/naive.ts";

/** Sizes of a gated attention mixer. */
export interface AttentionSizes {
  /** Query heads, a multiple of `kvHeads`. */
  readonly heads: number;
  readonly kvHeads: number;
  /** Elements of a head. */
  readonly headDim: number;
  /** Leading elements of a head that are rotated; even. */
  readonly rotaryDim: number;
  /** Added to the mean square in the norms of q and k. */
  readonly epsilon: number;
}

/** The rows of one projection, taken apart: q and gate [rows, heads, headDim], k and v [rows, kvHeads, headDim]. */
export interface PreparedRows {
  readonly q: Float64Array;
  readonly gate: Float64Array;
  readonly k: Float64Array;
  readonly v: Float64Array;
}

/**
 * Takes apart rows of `qkv` [rows, 2 heads headDim + 2 kvHeads headDim] (per head query then gate; then k; then v),
 * normalises q and k per head and rotates them. `rope` is [rows, rotaryDim / 2, 2]: cos and sin.
 */
export function qkPrepareNaive(
  qkv: ArrayLike<number>,
  weights: {
    readonly qNorm: ArrayLike<number>;
    readonly kNorm: ArrayLike<number>;
    readonly rope: ArrayLike<number>;
  },
  sizes: AttentionSizes,
): PreparedRows {
  const { heads, kvHeads, headDim } = sizes;
  const width = 2 * (heads + kvHeads) * headDim;
  const rows = qkv.length / width;
  const cut = (from: number, stride: number, count: number) => {
    const part = new Float64Array(rows * count * headDim);
    for (let row = 0; row < rows; row++) {
      for (let head = 0; head < count; head++) {
        for (let d = 0; d < headDim; d++) {
          part[(row * count + head) * headDim + d] = qkv[row * width + from + head * stride + d]!;
        }
      }
    }
    return part;
  };
  const keys = 2 * heads * headDim;
  const rotated = (x: Float64Array, count: number, norm: ArrayLike<number>) =>
    rotateNaive(rmsNormNaive(x, norm, headDim, sizes.epsilon), weights.rope, {
      heads: count,
      headDim,
      rotaryDim: sizes.rotaryDim,
    });
  return {
    q: rotated(cut(0, 2 * headDim, heads), heads, weights.qNorm),
    gate: cut(headDim, 2 * headDim, heads),
    k: rotated(cut(keys, headDim, kvHeads), kvHeads, weights.kNorm),
    v: cut(keys + kvHeads * headDim, headDim, kvHeads),
  };
}

/** Rotates the pairs (j, j + rotaryDim / 2) of every head of `x` [rows, heads, headDim] in place; arXiv:2104.09864. */
export function rotateNaive(
  x: Float64Array,
  rope: ArrayLike<number>,
  sizes: { readonly heads: number; readonly headDim: number; readonly rotaryDim: number },
): Float64Array {
  const half = sizes.rotaryDim / 2;
  for (let head = 0; head * sizes.headDim < x.length; head++) {
    const row = Math.floor(head / sizes.heads);
    for (let j = 0; j < half; j++) {
      const cos = rope[(row * half + j) * 2]!;
      const sin = rope[(row * half + j) * 2 + 1]!;
      const first = head * sizes.headDim + j;
      const a = x[first]!;
      const b = x[first + half]!;
      x[first] = a * cos - b * sin;
      x[first + half] = b * cos + a * sin;
    }
  }
  return x;
}
