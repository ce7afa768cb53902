/** Puts together what keeps a model's routed experts: the reader, the slots, the pager and the stage. @module */
import type { ExpertLayout } from "../../shaders/common/expert_layout.ts";
import { FillMeter } from "../experts/fill_meter.ts";
import { GpuSlots } from "../experts/gpu_slots.ts";
import { HostStore } from "../experts/host_store.ts";
import { ExpertPager } from "../experts/pager.ts";
import { ExpertReader } from "../experts/reader.ts";
import type { ReadAhead } from "../experts/read_ahead.ts";
import type { Readback } from "../gpu/readback.ts";
import type { MlpConfig } from "../model/config.ts";
import { moeIdStride, stopValues } from "../model/moe_parts.ts";
import type { StepBuffers } from "../model/parts.ts";
import type { ModelScratch } from "../model/scratch.ts";
import { ExpertStage } from "./expert_stage.ts";
import type { Site } from "./site.ts";

/** A GPU should not wait for more experts than this when it could start. */
const MOST_PART_LOADS = 32;

/** The experts as the snapshot stores them. */
export interface ExpertSource {
  readonly mlp: MlpConfig & { readonly kind: "moe" };
  readonly reader: ExpertReader;
  /** Whether each layer's shared expert takes a slot beside the routed ones. */
  readonly sharedInSlots: boolean;
}

/** The experts' places on the GPU and who fills them. */
export interface ExpertPlaces {
  readonly slots: GpuSlots;
  /** Fills the slots; where the GPU does that by itself, the places in host memory. */
  readonly pager: ExpertPager;
  /** What the GPU did by itself; null where it does not. */
  readonly meter: FillMeter | null;
}

/**
 * The routed experts of the model; null in a dense one.
 * @throws {WeightsError} if the layers do not all store them in one format
 */
export function expertSource({ snapshot, config, prefix }: Site): ExpertSource | null {
  const { mlp, layers, hidden } = config;
  if (mlp.kind === "dense") return null;
  const { experts, dff, sharedDff } = mlp;
  const reader = new ExpertReader({ snapshot, prefix, layers, experts, hidden, dff });
  return { mlp, reader, sharedInSlots: reader.sharedFits(sharedDff) };
}

/** Bytes that all routed experts take on the GPU. */
export function expertBytes({ config }: Site, { mlp, reader }: ExpertSource): number {
  return config.layers * mlp.experts * reader.layout.stride;
}

/**
 * Allocates `count` slots a layer and fills those of the shared experts; `onBytes` is told what was read. With `inHost`
 * the GPU pages by itself, and the pager has a place in host memory for every expert.
 * @throws {WeightsError} if a shared expert cannot be read or is not finite
 */
export async function placeExperts(
  { gpu: { device }, memory, config: { layers } }: Site,
  { mlp: { experts, topK }, reader, sharedInSlots }: ExpertSource,
  { count, inHost }: { readonly count: number; readonly inHost: boolean },
  onBytes: (bytes: number) => void,
): Promise<ExpertPlaces> {
  const layout: ExpertLayout = reader.layout;
  const { queue } = device;
  const sizes = { layers, experts, slots: count, topK };
  const sharedSlot = sharedInSlots ? count : null;
  const store = inHost ? new HostStore(memory, queue, layout, { ...sizes, sharedSlot }) : null;
  const pools = { ...sizes, shared: sharedInSlots, host: store?.layers ?? [] };
  const slots = new GpuSlots(memory, queue, layout, pools);
  for (let layer = 0; sharedInSlots && layer < layers; layer++) {
    onBytes(await reader.loadShared(layer, (bytes) => slots.writeShared(layer, bytes)));
  }
  const filled = store ?? slots;
  const pager = new ExpertPager({
    ...sizes,
    slots: inHost ? experts : count,
    load: (layer, expert, slot) =>
      reader.load(layer, expert, (bytes) => filled.write(layer, slot, bytes)),
    writeTable: (layer, table) => filled.writeTable(layer, table),
  });
  return { slots, pager, meter: store && await FillMeter.open(device, store) };
}

/** Totals since start, of the slots on the GPU; `host` ones where there are places in host memory beside them. */
export function expertCounters(
  { reader: { layout } }: ExpertSource,
  { pager: { counters }, meter }: ExpertPlaces,
): Record<string, number> {
  if (!meter) return { ...counters };
  const { misses, bytes, prefetches, prefetchBytes } = counters;
  const fills = meter.read();
  return {
    ...counters,
    ...fills,
    bytes: fills.misses * layout.byteLength,
    hostLoads: misses + prefetches,
    hostBytes: bytes + prefetchBytes,
  };
}

/** The stage that runs the layers while experts are paged. */
export function expertStage(
  { gpu: { device }, config: { layers, hidden: width } }: Site,
  { mlp, sharedInSlots }: ExpertSource,
  { slots, pager, meter }: ExpertPlaces,
  { ahead, steps, scratch, readback }: {
    readonly ahead: ReadAhead | null;
    readonly steps: StepBuffers;
    readonly scratch: ModelScratch;
    readonly readback: Readback;
  },
): ExpertStage {
  device.queue.writeBuffer(scratch.block.stopValues!, 0, stopValues(layers));
  const count = slots.pools[0]!.slots;
  return new ExpertStage({
    device,
    pager,
    step: steps.step,
    tables: slots.pools.map((pool) => pool.table),
    sharedSlot: sharedInSlots ? count : null,
    // The GPU works on one half of the slots while the other is being loaded; by itself it takes all there is.
    partLoads: meter ? Infinity : Math.min(MOST_PART_LOADS, Math.ceil(count / 2)),
    ids: scratch.block.ids!,
    idStride: moeIdStride(mlp, scratch.maxRows),
    topK: mlp.topK,
    readback,
    ahead: ahead && { reader: ahead, hidden: scratch.hidden, width },
  }, layers);
}
