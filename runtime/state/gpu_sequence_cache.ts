/** Hands out recurrent slots and KV pages; checkpoints come with the checkpoint cache. @module */
import type { LayerCaches } from "../model/caches.ts";
import type { ModelConfig } from "../model/config.ts";
import type { MemoryPlan } from "../plan.ts";
import type { EngineOptions } from "../options.ts";
import type { Admitted, SequenceCache, SequenceState } from "./sequence_cache.ts";
export class GpuSequenceCache implements SequenceCache {
  readonly counters: Record<string, number> = {};
  #pages: number[];
  #slots: number[];
  #total: number;
  constructor(
    _d: GPUDevice,
    _c: readonly LayerCaches[],
    _m: ModelConfig,
    plan: MemoryPlan,
    _o: EngineOptions,
  ) {
    this.#pages = Array.from({ length: plan.kvPages }, (_, i) => i);
    this.#slots = Array.from({ length: plan.stateSlots }, (_, i) => i);
    this.#total = plan.kvPages;
  }
  admit(): Admitted | null {
    if (!this.#slots.length) return null;
    return {
      state: { arena: 0, pages: [], stateRead: null, stateWrite: this.#slots.pop()! },
      cached: 0,
    };
  }
  grow(state: SequenceState, length: number): boolean {
    const pages = state.pages as number[];
    const more = Math.ceil(length / 32) - pages.length;
    if (more > this.#pages.length) return false;
    for (let i = 0; i < more; i++) pages.push(this.#pages.pop()!);
    return true;
  }
  advanced(s: SequenceState) {
    s.stateRead = s.stateWrite;
  }
  checkpoint() {}
  release(s: SequenceState) {
    this.#pages.push(...s.pages);
    this.#slots.push(s.stateWrite);
  }
  usage() {
    return 1 - this.#pages.length / this.#total;
  }
}
