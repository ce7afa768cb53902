/** The expert slots of all layers on the GPU, split into buffers that can be bound. @module */
import { NONE } from "../../shaders/common/step.ts";
import type { ExpertLayout } from "../../shaders/common/expert_layout.ts";
import type { GpuMemory } from "../gpu/memory.ts";
import type { ExpertPool, HostExperts } from "../model/parts.ts";

/** Slots and tables of every layer. */
export class GpuSlots {
  readonly pools: readonly ExpertPool[];
  readonly #memory: GpuMemory;
  readonly #queue: GPUQueue;
  readonly #stride: number;

  /**
   * Allocates `slots` slots a layer and, if asked to, one more in which the shared expert stays. `host` is what the GPU
   * fills the slots of each layer from by itself, where it does.
   * @throws {RangeError} if the device cannot bind a single slot
   */
  constructor(
    memory: GpuMemory,
    queue: GPUQueue,
    layout: ExpertLayout,
    { layers, experts, slots, shared, host = [] }: {
      readonly layers: number;
      readonly experts: number;
      readonly slots: number;
      readonly shared: boolean;
      readonly host?: readonly HostExperts[];
    },
  ) {
    this.#memory = memory;
    this.#queue = queue;
    this.#stride = layout.stride;
    const most = Math.floor(memory.maxBinding / layout.stride);
    if (most === 0) {
      throw new RangeError(
        `Cannot place experts of ${layout.stride} bytes: the device binds at most ${memory.maxBinding}`,
      );
    }
    const all = slots + Number(shared);
    this.pools = Array.from({ length: layers }, (_, layer): ExpertPool => {
      const chunks = [];
      for (let firstSlot = 0; firstSlot < all; firstSlot += most) {
        const count = Math.min(most, all - firstSlot);
        const buffer = memory.storage(
          "experts",
          `experts ${layer}.${chunks.length}`,
          count * layout.stride,
        );
        chunks.push({ firstSlot, slots: count, buffer });
      }
      const places = new Uint32Array(experts + 1).fill(NONE);
      if (shared) places[experts] = slots;
      const table = memory.upload("experts", `table ${layer}`, places);
      return { format: layout.format, slots, chunks, table, host: host[layer] ?? null };
    });
  }

  /** Copies one packed expert into a slot. */
  write(layer: number, slot: number, bytes: Uint8Array<ArrayBuffer>): void {
    const chunk = this.pools[layer]!.chunks.find(({ firstSlot, slots }) =>
      slot < firstSlot + slots
    )!;
    this.#memory.write(chunk.buffer, (slot - chunk.firstSlot) * this.#stride, bytes);
  }

  /** Fills the slot in which the shared expert stays. */
  writeShared(layer: number, bytes: Uint8Array<ArrayBuffer>): void {
    this.write(layer, this.pools[layer]!.slots, bytes);
  }

  /** Stores a layer's table of routed experts, u32 [experts]. */
  writeTable(layer: number, slotOf: Uint32Array<ArrayBuffer>): void {
    this.#queue.writeBuffer(this.pools[layer]!.table, 0, slotOf);
  }
}
