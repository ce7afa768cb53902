/** Gated causal attention with shared key-value heads, in plain loops. @module */
import type { PreparedRows } from "../qk_prepare/naive.ts";

/**
 * `out = softmax(q k / sqrt(headDim)) v * sigmoid(gate)` for the last rows of a sequence, [rows, heads, headDim].
 * q and gate are [rows, heads, headDim], k and v [tokens, kvHeads, headDim] with tokens >= rows: row i sees the
 * keys up to tokens - rows + i. Query head h reads key-value head floor(h kvHeads / heads).
 */
export function attentionNaive(
  { q, gate, k, v }: PreparedRows,
  sizes: { readonly heads: number; readonly kvHeads: number; readonly headDim: number },
): Float64Array {
  const { heads, kvHeads, headDim } = sizes;
  const rows = q.length / (heads * headDim);
  const tokens = k.length / (kvHeads * headDim);
  const out = new Float64Array(q.length);
  for (let row = 0; row < rows; row++) {
    const visible = tokens - rows + row + 1;
    for (let head = 0; head < heads; head++) {
      const kvHead = Math.floor(head * kvHeads / heads);
      const at = (row * heads + head) * headDim;
      const scores = new Float64Array(visible);
      for (let token = 0; token < visible; token++) {
        const key = (token * kvHeads + kvHead) * headDim;
        for (let d = 0; d < headDim; d++) scores[token]! += q[at + d]! * k[key + d]!;
        scores[token]! /= Math.sqrt(headDim);
      }
      const most = scores.reduce((a, b) => Math.max(a, b));
      const weights = scores.map((score) => Math.exp(score - most));
      const total = weights.reduce((a, b) => a + b);
      for (let token = 0; token < visible; token++) {
        const value = (token * kvHeads + kvHead) * headDim;
        for (let d = 0; d < headDim; d++) {
          out[at + d]! += weights[token]! / total * v[value + d]!;
        }
      }
      for (let d = 0; d < headDim; d++) out[at + d]! /= 1 + Math.exp(-gate[at + d]!);
    }
  }
  return out;
}
