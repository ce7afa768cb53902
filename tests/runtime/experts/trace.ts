/** Routing traces: for each step the distinct experts that one layer needs. @module */

/** What a trace looks like. */
export interface TraceOptions {
  readonly experts: number;
  readonly topK: number;
  readonly steps: number;
  /** Share of choices repeated from the step before. */
  readonly sticky: number;
  /** Exponent of the popularity by rank; 0 is uniform. */
  readonly zipf: number;
  readonly seed?: number;
  /** Tokens a step: the union of their experts is needed. */
  readonly rows?: number;
}

/** A deterministic trace: some experts stay from token to token, the others are drawn by popularity. */
export function makeTrace(options: TraceOptions): Uint32Array[] {
  const random = generator(options.seed ?? 1);
  const weights = Array.from({ length: options.experts }, (_, i) => (i + 1) ** -options.zipf);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  // Rank r is expert r * 7919 mod E where coprime: popular experts do not stand side by side.
  const expertOf = (rank: number) => (rank * 7919) % options.experts;
  const draw = () => {
    let rest = random() * total;
    const rank = weights.findIndex((weight) => (rest -= weight) < 0);
    return expertOf(rank < 0 ? 0 : rank);
  };
  let last: number[] = [];
  return Array.from({ length: options.steps }, () => {
    const needed = new Set<number>();
    for (let row = 0; row < (options.rows ?? 1); row++) {
      const token = new Set(last.filter(() => random() < options.sticky));
      while (token.size < options.topK) token.add(draw());
      last = [...token];
      for (const expert of token) needed.add(expert);
    }
    return Uint32Array.from(needed);
  });
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
