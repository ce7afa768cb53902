/** The gated delta rule in plain loops: row by row, and in chunks. @module */
import type { DeltaShape } from "../delta_prepare/naive.ts";

/** Inputs of one sequence; q and k are normalised, q is scaled. */
export interface DeltaRuleInput {
  /** [rows, keyHeads, keyDim]. */
  readonly q: ArrayLike<number>;
  /** [rows, keyHeads, keyDim]. */
  readonly k: ArrayLike<number>;
  /** [rows, valueHeads, valueDim]. */
  readonly v: ArrayLike<number>;
  /** [rows, valueHeads]: logarithm of the decay. */
  readonly g: ArrayLike<number>;
  /** [rows, valueHeads]. */
  readonly beta: ArrayLike<number>;
  /** [valueHeads, keyDim, valueDim]; null is zeros. */
  readonly state: ArrayLike<number> | null;
}

/** Outputs [rows, valueHeads, valueDim] and the state after the last row [valueHeads, keyDim, valueDim]. */
export interface DeltaRuleOutput {
  readonly out: Float64Array;
  readonly state: Float64Array;
}

/**
 * Row by row: `S = e^g S; d = beta (v - S^T k); S = S + k d^T; out = S^T q`.
 * Value head h uses key head `floor(h / (valueHeads / keyHeads))`.
 */
export function deltaRuleNaive(input: DeltaRuleInput, shape: DeltaShape): DeltaRuleOutput {
  const { keyHeads, valueHeads, keyDim, valueDim } = shape;
  const { q, k, v, g, beta } = input;
  const rows = g.length / valueHeads;
  const out = new Float64Array(rows * valueHeads * valueDim);
  const state = initialState(input, shape);
  for (let row = 0; row < rows; row++) {
    for (let h = 0; h < valueHeads; h++) {
      const key = (row * keyHeads + Math.floor(h * keyHeads / valueHeads)) * keyDim;
      const value = (row * valueHeads + h) * valueDim;
      const gate = row * valueHeads + h;
      const decay = Math.exp(g[gate]!);
      for (let j = 0; j < valueDim; j++) {
        const at = (i: number): number => (h * keyDim + i) * valueDim + j;
        let memory = 0;
        for (let i = 0; i < keyDim; i++) {
          state[at(i)]! *= decay;
          memory += state[at(i)]! * k[key + i]!;
        }
        const d = beta[gate]! * (v[value + j]! - memory);
        let sum = 0;
        for (let i = 0; i < keyDim; i++) {
          state[at(i)]! += k[key + i]! * d;
          sum += state[at(i)]! * q[key + i]!;
        }
        out[value + j] = sum;
      }
    }
  }
  return { out, state };
}

/** The same in chunks of `chunk` rows, with forward substitution; the README derives it. */
export function deltaRuleChunkedNaive(
  input: DeltaRuleInput,
  shape: DeltaShape,
  chunk: number,
): DeltaRuleOutput {
  const rows = input.g.length / shape.valueHeads;
  const out = new Float64Array(rows * shape.valueHeads * shape.valueDim);
  const state = initialState(input, shape);
  for (let h = 0; h < shape.valueHeads; h++) {
    for (let first = 0; first < rows; first += chunk) {
      chunkStep({ input, shape, out, state, h, first, count: Math.min(chunk, rows - first) });
    }
  }
  return { out, state };
}

interface ChunkStep {
  readonly input: DeltaRuleInput;
  readonly shape: DeltaShape;
  readonly out: Float64Array;
  readonly state: Float64Array;
  readonly h: number;
  readonly first: number;
  readonly count: number;
}

function chunkStep({ input, shape, out, state, h, first, count }: ChunkStep): void {
  const { keyHeads, valueHeads, keyDim, valueDim } = shape;
  const keyHead = Math.floor(h * keyHeads / valueHeads);
  const key = (t: number): number => ((first + t) * keyHeads + keyHead) * keyDim;
  const gate = (t: number): number => (first + t) * valueHeads + h;
  const dot = (a: ArrayLike<number>, i: number, j: number): number => {
    let sum = 0;
    for (let n = 0; n < keyDim; n++) sum += a[key(i) + n]! * input.k[key(j) + n]!;
    return sum;
  };
  const c: number[] = []; // sum of g up to and including each row
  for (let t = 0; t < count; t++) c.push((c[t - 1] ?? 0) + input.g[gate(t)]!);
  const read = (a: ArrayLike<number>, t: number, j: number): number => {
    let sum = 0;
    for (let n = 0; n < keyDim; n++) {
      sum += a[key(t) + n]! * state[(h * keyDim + n) * valueDim + j]!;
    }
    return Math.exp(c[t]!) * sum;
  };
  for (let j = 0; j < valueDim; j++) {
    const d: number[] = []; // the rows' writes, by forward substitution
    for (let t = 0; t < count; t++) {
      let rest = input.v[gate(t) * valueDim + j]! - read(input.k, t, j);
      for (let s = 0; s < t; s++) rest -= Math.exp(c[t]! - c[s]!) * dot(input.k, t, s) * d[s]!;
      d.push(input.beta[gate(t)]! * rest);
      let sum = read(input.q, t, j);
      for (let s = 0; s <= t; s++) sum += Math.exp(c[t]! - c[s]!) * dot(input.q, t, s) * d[s]!;
      out[gate(t) * valueDim + j] = sum;
    }
    const last = c[count - 1]!;
    for (let n = 0; n < keyDim; n++) {
      let sum = Math.exp(last) * state[(h * keyDim + n) * valueDim + j]!;
      for (let t = 0; t < count; t++) sum += Math.exp(last - c[t]!) * input.k[key(t) + n]! * d[t]!;
      state[(h * keyDim + n) * valueDim + j] = sum;
    }
  }
}

function initialState({ state }: DeltaRuleInput, shape: DeltaShape): Float64Array {
  return state
    ? Float64Array.from(state)
    : new Float64Array(shape.valueHeads * shape.keyDim * shape.valueDim);
}
