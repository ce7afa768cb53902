/** Sum of the experts' outputs in plain loops. @module */

/** What the routed and the shared experts gave. */
export interface ExpertOutputs {
  /** [rows, topK, hidden]. */
  readonly routed: ArrayLike<number>;
  /** [rows, topK]. */
  readonly weights: ArrayLike<number>;
  /** [rows, hidden]. */
  readonly shared: ArrayLike<number>;
  /** [rows]. */
  readonly sharedGate: ArrayLike<number>;
}

/** `h[row] + sum_rank weights[row, rank] routed[row, rank] + sharedGate[row] shared[row]`: [rows, hidden]. */
export function moeCombineNaive(
  h: ArrayLike<number>,
  { routed, weights, shared, sharedGate }: ExpertOutputs,
  { hidden, topK }: { readonly hidden: number; readonly topK: number },
): Float64Array<ArrayBuffer> {
  const y = new Float64Array(h.length);
  for (let i = 0; i < h.length; i++) {
    const row = Math.floor(i / hidden);
    let sum = 0;
    for (let rank = 0; rank < topK; rank++) {
      const pair = row * topK + rank;
      sum += weights[pair]! * routed[pair * hidden + i % hidden]!;
    }
    y[i] = h[i]! + sum + sharedGate[row]! * shared[i]!;
  }
  return y;
}
