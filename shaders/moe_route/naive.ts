/** Routing to experts in plain loops. @module */

/** Where each row goes and with what weights. */
export interface Routes {
  /** [rows, topK]: expert ids, best first; equal logits: the lower id first. */
  readonly ids: Uint32Array<ArrayBuffer>;
  /** [rows, topK]: they sum to 1 in a row. */
  readonly weights: Float64Array<ArrayBuffer>;
  /** [rows]: the shared expert's gate in (0, 1). */
  readonly sharedGate: Float64Array<ArrayBuffer>;
}

/** Softmax over all experts, the best topK, renormalised; logits [rows, experts + 1], the last the shared gate's. */
export function moeRouteNaive(
  logits: ArrayLike<number>,
  { experts, topK }: { readonly experts: number; readonly topK: number },
): Routes {
  const rows = logits.length / (experts + 1);
  const ids = new Uint32Array(rows * topK);
  const weights = new Float64Array(rows * topK);
  const sharedGate = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    const base = row * (experts + 1);
    const of = (id: number): number => logits[base + id]!;
    const order = Array.from({ length: experts }, (_, id) => id)
      .sort((a, b) => of(b) - of(a) || a - b).slice(0, topK);
    const most = of(order[0]!);
    const sum = order.reduce((total, id) => total + Math.exp(of(id) - most), 0);
    order.forEach((id, rank) => {
      ids[row * topK + rank] = id;
      weights[row * topK + rank] = Math.exp(of(id) - most) / sum;
    });
    sharedGate[row] = 1 / (1 + Math.exp(-of(experts)));
  }
  return { ids, weights, sharedGate };
}
