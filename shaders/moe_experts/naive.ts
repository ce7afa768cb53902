/** Routed experts in plain loops. @module */
import { matmulNaive } from "../matmul/naive.ts";
import { swigluNaive } from "../swiglu/naive.ts";

/** The dense weights of one expert. */
export interface ExpertWeights {
  /** [dff, hidden]. */
  readonly gate: ArrayLike<number>;
  /** [dff, hidden]. */
  readonly up: ArrayLike<number>;
  /** [hidden, dff]. */
  readonly down: ArrayLike<number>;
}

/** The rows and where each of them goes. */
export interface RoutedRows {
  /** [rows, hidden]. */
  readonly x: ArrayLike<number>;
  /** [rows, topK]. */
  readonly ids: ArrayLike<number>;
  readonly hidden: number;
  readonly topK: number;
}

/** `y[row, rank] = down(silu(gate x[row]) * up x[row])` of expert ids[row, rank]: y [rows, topK, hidden]. */
export function moeExpertsNaive(
  { x, ids, hidden, topK }: RoutedRows,
  expert: (id: number) => ExpertWeights,
): Float64Array<ArrayBuffer> {
  const y = new Float64Array(ids.length * hidden);
  for (let pair = 0; pair < ids.length; pair++) {
    const row = Math.floor(pair / topK);
    const { gate, up, down } = expert(ids[pair]!);
    const input = Array.from({ length: hidden }, (_, i) => x[row * hidden + i]!);
    const gateUp = [...matmulNaive(input, gate, hidden), ...matmulNaive(input, up, hidden)];
    const dff = gateUp.length / 2;
    y.set(matmulNaive(swigluNaive(gateUp, dff), down, dff), pair * hidden);
  }
  return y;
}
