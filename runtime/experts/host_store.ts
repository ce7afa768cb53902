/** All routed experts in host memory that the GPU reads, split into buffers that can be bound. @module */
import type { ExpertLayout } from "../../shaders/common/expert_layout.ts";
import { NONE } from "../../shaders/common/step.ts";
import {
  FILL_COUNTERS,
  type FillShape,
  fillWords,
  resolveState,
} from "../../shaders/moe_fill/moe_fill.ts";
import type { GpuMemory } from "../gpu/memory.ts";
import type { HostExperts } from "../model/parts.ts";

/** What the GPU did by itself since start. */
export type FillCounters = Record<typeof FILL_COUNTERS[number], number>;

/** A copy of every layer's experts, and the GPU's own bookkeeping of its slots. */
export class HostStore {
  readonly layers: readonly HostExperts[];
  /** u32 [FILL_COUNTERS]: to be copied to where the host can read it, and given to `count()`. */
  readonly source: GPUBuffer;
  /** Totals since start, as of the last `count()`. */
  readonly counters: FillCounters = { hits: 0, misses: 0, evictions: 0, waves: 0 };
  readonly #memory: GpuMemory;
  readonly #queue: GPUQueue;
  readonly #words = new Uint32Array(FILL_COUNTERS.length);

  /** Allocates the memory; what it holds comes with `write()`. @throws {RangeError} if the device binds no expert */
  constructor(
    memory: GpuMemory,
    queue: GPUQueue,
    layout: ExpertLayout,
    shape: FillShape & { readonly layers: number; readonly sharedSlot: number | null },
  ) {
    const { layers, experts, sharedSlot } = shape;
    this.#memory = memory;
    this.#queue = queue;
    this.source = memory.storage("experts", "fill counters", 4 * FILL_COUNTERS.length);
    const fills = memory.storage("experts", "fills", 4 * fillWords(shape));
    this.layers = Array.from({ length: layers }, (_, layer): HostExperts => ({
      stride: layout.stride,
      sharedSlot,
      parts: allocateParts(memory, layout.stride, { layer, experts }),
      table: memory.upload("experts", `places ${layer}`, new Uint32Array(experts + 1).fill(NONE)),
      state: memory.upload("experts", `slots ${layer}`, resolveState(shape)),
      fills,
      counters: this.source,
    }));
  }

  /** Copies one packed expert to its place. */
  write(layer: number, place: number, bytes: Uint8Array<ArrayBuffer>): void {
    const { parts, stride } = this.layers[layer]!;
    const part = parts.find(({ firstPlace, places }) => place < firstPlace + places)!;
    this.#memory.write(part.buffer, (place - part.firstPlace) * stride, bytes);
  }

  /** Stores a layer's table, u32 [experts]: the place of each expert that is there. */
  writeTable(layer: number, placeOf: Uint32Array<ArrayBuffer>): void {
    this.#queue.writeBuffer(this.layers[layer]!.table, 0, placeOf);
  }

  /** Takes over what `source` held. */
  count(words: Uint32Array): void {
    FILL_COUNTERS.forEach((name, i) => {
      this.counters[name] += (words[i]! - this.#words[i]!) >>> 0; // 32 bits run over within a day
      this.#words[i] = words[i]!;
    });
  }
}

/** Bytes of host memory that the experts of so many layers take. */
export function hostBytes(
  { stride }: Pick<ExpertLayout, "stride">,
  { layers, experts }: { readonly layers: number; readonly experts: number },
): number {
  return layers * experts * stride;
}

function allocateParts(
  memory: GpuMemory,
  stride: number,
  { layer, experts }: { readonly layer: number; readonly experts: number },
): HostExperts["parts"] {
  const most = Math.floor(memory.maxBinding / stride);
  if (most === 0) {
    throw new RangeError(
      `Cannot place experts of ${stride} bytes: the device binds at most ${memory.maxBinding}`,
    );
  }
  const parts: HostExperts["parts"][number][] = [];
  for (let firstPlace = 0; firstPlace < experts; firstPlace += most) {
    const places = Math.min(most, experts - firstPlace);
    const label = `host experts ${layer}.${parts.length}`;
    parts.push({ firstPlace, places, buffer: memory.hostStorage(label, places * stride) });
  }
  return parts;
}
