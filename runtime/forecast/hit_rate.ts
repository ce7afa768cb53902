/** How often an expert is found on the GPU, by the share of experts that have a slot. @module */

type Curve = readonly (readonly [share: number, hits: number])[];

/**
 * Per-layer LRU measured by others on models of this kind (30B to 35B with 128 or 256 experts, connected
 * prompts, cold start).
 */
const CONNECTED: Curve = [
  [0.06, 0.366],
  [0.19, 0.741],
  [0.27, 0.835],
  [0.39, 0.89],
  [0.63, 0.962],
  [1, 1],
];

/** The worst published: a model of 512 experts on unconnected texts. */
const UNCONNECTED: Curve = [
  [0.36, 0.62],
  [0.54, 0.72],
  [1, 1],
];

/** Expected hits, in [0, 1]; straight between the measured points over the share's logarithm. */
export function hitRate(share: number): number {
  return along(CONNECTED, share);
}

/** Hits where every text is about something else. */
export function leastHitRate(share: number): number {
  return Math.min(hitRate(share), along(UNCONNECTED, share));
}

function along(curve: Curve, share: number): number {
  const [first, firstHits] = curve[0]!;
  if (share <= first) return Math.max(0, share) / first * firstHits;
  for (let i = 1; i < curve.length; i++) {
    const [[x0, y0], [x1, y1]] = [curve[i - 1]!, curve[i]!];
    if (share <= x1) return y0 + (y1 - y0) * Math.log(share / x0) / Math.log(x1 / x0);
  }
  return 1;
}
