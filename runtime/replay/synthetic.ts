/** Routing traces out of thin air: popularity by Zipf's law, and a share of experts that stay. @module */
import type { RoutedStep, RoutingTrace, TraceHeader } from "../experts/trace.ts";

/** What a generated trace looks like. */
export interface SyntheticOptions extends Omit<TraceHeader, "model"> {
  readonly steps: number;
  /** Share of a row's experts that the next row keeps; real models show about 0.45. */
  readonly sticky: number;
  /** The expert of rank r is drawn in proportion to 1 / (r + 1)^zipf; 0 is uniform. */
  readonly zipf: number;
  /** Rows a step; 1 is decoding. */
  readonly rows?: number;
  readonly seed?: number;
}

/** A trace that depends on its options alone. Each layer has its own order of popularity. */
export function syntheticTrace(options: SyntheticOptions): RoutingTrace {
  const { layers, experts, topK, steps, sticky, zipf, rows = 1, seed = 1 } = options;
  const next = generator(seed);
  const cumulated = cumulatedWeights(experts, zipf);
  const popular = Array.from({ length: layers }, () => shuffled(experts, next));
  const last = Array.from({ length: layers }, () => [] as readonly number[]);
  const row = (layer: number) => {
    const chosen = new Set(last[layer]!.filter(() => next() < sticky));
    while (chosen.size < topK) chosen.add(popular[layer]![draw(cumulated, next())]!);
    return last[layer] = [...chosen];
  };
  const step = (): RoutedStep => ({
    rows,
    layers: popular.map((_, layer) =>
      Uint16Array.from(Array.from({ length: rows }, () => row(layer)).flat())
    ),
  });
  return {
    header: { model: `synthetic: sticky ${sticky}, zipf ${zipf}`, layers, experts, topK },
    steps: Array.from({ length: steps }, step),
  };
}

/** Numbers in [0, 1) from a 32-bit state. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    const mixed = Math.imul(state ^ (state >>> 15), 0x2c1b3c6d);
    return ((mixed ^ (mixed >>> 12)) >>> 0) / 2 ** 32;
  };
}

/** The chance of a rank below each one, ending in 1. */
function cumulatedWeights(experts: number, zipf: number): Float64Array {
  const sums = new Float64Array(experts);
  let sum = 0;
  for (let rank = 0; rank < experts; rank++) sums[rank] = sum += (rank + 1) ** -zipf;
  return sums.map((value) => value / sum);
}

function draw(cumulated: Float64Array, x: number): number {
  const rank = cumulated.findIndex((sum) => x < sum);
  return rank < 0 ? cumulated.length - 1 : rank;
}

function shuffled(count: number, next: () => number): number[] {
  const order = [...Array(count).keys()];
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(next() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
