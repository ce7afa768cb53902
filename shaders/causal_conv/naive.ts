/** Causal depthwise convolution with SiLU in plain loops. @module */

/** Inputs of one sequence. */
export interface CausalConvInput {
  /** [rows, stride]; the first `channels` columns are convolved. */
  readonly x: ArrayLike<number>;
  /** [channels, taps]; the last tap multiplies the current row. */
  readonly weight: ArrayLike<number>;
  /** [taps - 1, channels]: the inputs before the first row, oldest first; null is zeros. */
  readonly state: ArrayLike<number> | null;
}

/** Sizes; `stride` is that of x's rows, `channels` if left out. */
export interface CausalConvShape {
  readonly channels: number;
  readonly taps: number;
  readonly stride?: number;
}

/** `y[t] = silu(sum_j weight[j] x[t - taps + 1 + j])` [rows, channels], and the state after the last row. */
export function causalConvNaive(
  { x, weight, state }: CausalConvInput,
  { channels, taps, stride = channels }: CausalConvShape,
): { y: Float64Array; state: Float64Array } {
  const rows = x.length / stride;
  const before = taps - 1;
  const input = (row: number, c: number): number =>
    row >= 0 ? x[row * stride + c]! : state ? state[(row + before) * channels + c]! : 0;
  const y = new Float64Array(rows * channels);
  for (let row = 0; row < rows; row++) {
    for (let c = 0; c < channels; c++) {
      let sum = 0;
      for (let j = 0; j < taps; j++) sum += weight[c * taps + j]! * input(row - before + j, c);
      y[row * channels + c] = sum / (1 + Math.exp(-sum));
    }
  }
  const after = new Float64Array(before * channels);
  for (let j = 0; j < before; j++) {
    for (let c = 0; c < channels; c++) after[j * channels + c] = input(rows - before + j, c);
  }
  return { y, state: after };
}
