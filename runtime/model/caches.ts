/** Allocates what sequences leave behind on the GPU: recurrent states and KV pages, layer by layer. @module */
import { KV_FORMATS } from "../../shaders/common/kv_format.ts";
import type { GpuMemory } from "../gpu/memory.ts";
import type { ModelConfig } from "./config.ts";
import { type DeltaState, type KvArena, type KvFormat, PAGE_TOKENS } from "./parts.ts";

/** Bytes of the caches of one layer. */
export interface CacheSizes {
  /** S of one slot, f32. */
  readonly stateSlot: number;
  /** Rings of the convolution's inputs in one slot, f32. */
  readonly convSlot: number;
  /** The K, or the V, of one page. */
  readonly kvPage: number;
}

/** How much of each cache there is, and how keys and values are stored. */
export interface CacheCounts {
  readonly stateSlots: number;
  readonly kvPages: number;
  readonly kvArenas: number;
  readonly kvFormat: KvFormat;
}

/** The caches of one layer. */
export interface LayerCaches {
  /** Null in a full-attention layer. */
  readonly delta: DeltaState | null;
  /** Empty in a DeltaNet layer. */
  readonly arenas: readonly KvArena[];
}

/** Sizes for a model; every layer of a kind has the same. */
export function cacheSizes({ delta, attention }: ModelConfig, kvFormat: KvFormat): CacheSizes {
  const channels = 2 * delta.keyHeads * delta.keyDim + delta.valueHeads * delta.valueDim;
  return {
    stateSlot: 4 * delta.valueHeads * delta.keyDim * delta.valueDim,
    convSlot: 4 * delta.convKernel * channels,
    kvPage: KV_FORMATS[kvFormat].elementBytes * attention.kvHeads * PAGE_TOKENS * attention.headDim,
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
  const { stateSlots, kvPages, kvArenas, kvFormat } = counts;
  const sizes = cacheSizes(config, kvFormat);
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
