/** Allocates what sequences leave behind on the GPU: recurrent states and KV pages, layer by layer. @module */
import type { GpuMemory } from "../gpu/memory.ts";
import type { ModelConfig } from "./config.ts";
import { type DeltaState, type KvArena, PAGE_TOKENS } from "./parts.ts";

/** Bytes of the caches of one layer. */
export interface CacheSizes {
  /** S of one slot, f32. */
  readonly stateSlot: number;
  /** Convolution window of one slot, f32. */
  readonly convSlot: number;
  /** The K, or the V, of one page, f16. */
  readonly kvPage: number;
}

/** How much of each cache there is. */
export interface CacheCounts {
  readonly stateSlots: number;
  readonly kvPages: number;
  readonly kvArenas: number;
}

/** The caches of one layer. */
export interface LayerCaches {
  /** Null in a full-attention layer. */
  readonly delta: DeltaState | null;
  /** Empty in a DeltaNet layer. */
  readonly arenas: readonly KvArena[];
}

/** Sizes for a model; every layer of a kind has the same. */
export function cacheSizes({ delta, attention }: ModelConfig): CacheSizes {
  const channels = 2 * delta.keyHeads * delta.keyDim + delta.valueHeads * delta.valueDim;
  return {
    stateSlot: 4 * delta.valueHeads * delta.keyDim * delta.valueDim,
    convSlot: 4 * (delta.convKernel - 1) * channels,
    kvPage: 2 * attention.kvHeads * PAGE_TOKENS * attention.headDim,
  };
}

/** Pages of one arena when `pages` are spread over `arenas`; the last may have fewer. */
export function pagesPerArena(pages: number, arenas: number): number {
  return Math.ceil(pages / arenas);
}

/** Allocates the caches of every layer. */
export function allocateCaches(
  memory: GpuMemory,
  config: ModelConfig,
  counts: CacheCounts,
): LayerCaches[] {
  const sizes = cacheSizes(config);
  const { stateSlots, kvPages, kvArenas } = counts;
  const arenaBytes = pagesPerArena(kvPages, kvArenas) * sizes.kvPage;
  return config.layerKinds.map((kind, layer): LayerCaches => {
    if (kind === "linear") {
      const state = memory.storage("states", `state ${layer}`, stateSlots * sizes.stateSlot);
      const conv = memory.storage("states", `conv ${layer}`, stateSlots * sizes.convSlot);
      return { delta: { state, conv }, arenas: [] };
    }
    const arenas = Array.from({ length: kvArenas }, (_, arena): KvArena => ({
      k: memory.storage("KV", `k ${layer}.${arena}`, arenaBytes),
      v: memory.storage("KV", `v ${layer}.${arena}`, arenaBytes),
    }));
    return { delta: null, arenas };
  });
}
