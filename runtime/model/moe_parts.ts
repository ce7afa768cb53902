/** What the mixture-of-experts block of a layer is made of, and the sizes of what it works in. @module */
import { groupBytes } from "../../shaders/moe_experts/groups.ts";
import { fewListBytes } from "../../shaders/moe_experts/few_rows.ts";
import type { Bound } from "../gpu/kernel.ts";
import { mlpScratch } from "./mlp.ts";
import type { MoeWeights, Scratch, SplitNorm } from "./parts.ts";

/** Sizes of the blocks of a model; all layers are alike. */
export interface MoeSizes {
  readonly hidden: number;
  readonly experts: number;
  readonly topK: number;
  readonly dff: number;
  readonly sharedDff: number;
  readonly layers: number;
}

/** The block of one layer. */
export interface MoeParts {
  readonly sizes: MoeSizes;
  /** As given to `moeScratch`. */
  readonly maxRows: number;
  readonly layer: number;
  readonly step: GPUBuffer;
  /** Buffers of the sizes that `moeScratch` names; `stopValues` holds `stopValues(layers)`. */
  readonly scratch: Scratch;
  readonly weights: MoeWeights;
  /** f32 [rows, hidden]: the normed input, the `scaled` of `norm` where there is one. */
  readonly x: GPUBuffer;
  /** Null where x is normed in any step. */
  readonly norm: SplitNorm | null;
  /** f32 [rows, hidden]: the residual stream, which the block adds to. */
  readonly h: GPUBuffer;
  /** The norm of the residual stream that follows. */
  readonly next: SplitNorm;
}

/** Bindings start at multiples of this many words. */
const ALIGNED_WORDS = 64;

/** Experts of a row: those that the router chose, then the shared one. */
export function moeRanks({ topK }: Pick<MoeSizes, "topK">): number {
  return topK + 1;
}

/** Words from one layer's ids to the next in the `ids` scratch buffer. */
export function moeIdStride(sizes: Pick<MoeSizes, "topK">, maxRows: number): number {
  return Math.ceil(maxRows * moeRanks(sizes) / ALIGNED_WORDS) * ALIGNED_WORDS;
}

/** What the host writes once into the `stopValues` scratch buffer: 1 + the layer, each at its own binding offset. */
export function stopValues(layers: number): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(layers * ALIGNED_WORDS);
  for (let layer = 0; layer < layers; layer++) words[layer * ALIGNED_WORDS] = layer + 1;
  return words;
}

/** A layer's part of them. */
export function stopValue(parts: Pick<MoeParts, "scratch" | "layer">): Bound {
  return { buffer: parts.scratch.stopValues!, offset: parts.layer * ALIGNED_WORDS * 4, size: 4 };
}

/** A layer's part of the `ids` scratch buffer. */
export function layerIds({ sizes, maxRows, layer, scratch }: Pick<
  MoeParts,
  "sizes" | "maxRows" | "layer" | "scratch"
>): Bound {
  const size = 4 * moeIdStride(sizes, maxRows);
  return { buffer: scratch.ids!, offset: layer * size, size };
}

/**
 * Bytes of the scratch buffers that the blocks of all layers share, by name; `ids`, u32 [layers, moeIdStride], keeps
 * every layer's choice for the host: [rows, moeRanks] from the layer's offset on.
 */
export function moeScratch(sizes: MoeSizes, maxRows: number): Record<string, number> {
  const { hidden, experts, dff, sharedDff, layers } = sizes;
  const pairs = maxRows * moeRanks(sizes);
  return {
    routerLogits: 4 * maxRows * (experts + 1),
    ids: 4 * layers * moeIdStride(sizes, maxRows),
    stopValues: 4 * layers * ALIGNED_WORDS,
    routeWeights: 4 * pairs,
    ...mlpScratch(sharedDff, maxRows),
    expertGroups: groupBytes({ experts: experts + 1, topK: moeRanks(sizes), maxRows }),
    fewExperts: fewListBytes({ topK: moeRanks(sizes) }),
    expertAct: 4 * pairs * dff,
    expertOut: 4 * pairs * hidden,
  };
}
