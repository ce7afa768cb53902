/** SwiGLU in plain loops. @module */

/** `y = silu(gate) * up` of rows [gate | up]: x [rows, 2 dff], y [rows, dff]. */
export function swigluNaive(x: ArrayLike<number>, dff: number): Float64Array<ArrayBuffer> {
  const y = new Float64Array(x.length / 2);
  for (let i = 0; i < y.length; i++) {
    const row = Math.floor(i / dff);
    const gate = x[row * dff + i]!;
    const up = x[row * dff + i + dff]!;
    y[i] = gate / (1 + Math.exp(-gate)) * up;
  }
  return y;
}
