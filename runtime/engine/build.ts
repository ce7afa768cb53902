/** Plans the memory of a model and puts its runner together. @module */
import { STEP } from "../../shaders/common/step.ts";
import type { ExpertLayout } from "../../shaders/common/expert_layout.ts";
import type { Snapshot } from "../../weights/mod.ts";
import { GpuSlots } from "../experts/gpu_slots.ts";
import { ExpertPager } from "../experts/pager.ts";
import { ExpertReader } from "../experts/reader.ts";
import type { Gpu } from "../gpu/device.ts";
import { KernelCache } from "../gpu/kernel.ts";
import { GpuMemory } from "../gpu/memory.ts";
import { Readback, syncReadbackWorks } from "../gpu/readback.ts";
import { allocateCaches, cacheSizes, pagesPerArena } from "../model/caches.ts";
import type { ModelConfig } from "../model/config.ts";
import { buildForward } from "../model/forward.ts";
import { expectedTensors, textPrefix } from "../model/names.ts";
import { moeIdStride, stopValues } from "../model/moe.ts";
import { DECODE_ROWS, PAGE_TOKENS } from "../model/parts.ts";
import { Placement } from "../model/placement.ts";
import { ropeRow } from "../model/rope.ts";
import { addSampler, SAMPLE_BYTES } from "../model/sampler.ts";
import { Program } from "../gpu/program.ts";
import {
  allocateScratch,
  rowsThatFit,
  samplerSizes,
  scratchBytes,
  type StepBounds,
} from "../model/scratch.ts";
import { loadTrunk } from "../model/trunk.ts";
import type { EngineOptions } from "../options.ts";
import { LONGEST_DEFAULT_CONTEXT, type MemoryPlan, planMemory } from "../plan.ts";
import { GpuCopies } from "../state/gpu_copies.ts";
import { HybridCache } from "../state/hybrid_cache.ts";
import type { SequenceCache } from "../state/sequence_cache.ts";
import { ExpertStage } from "./expert_stage.ts";
import { GpuRunner, type RunnerParts } from "./runner.ts";
import { readBudget } from "./budget.ts";

/** Everything that runs a model. */
export interface BuiltRunner {
  readonly runner: GpuRunner;
  readonly cache: SequenceCache;
  readonly plan: MemoryPlan;
  /** Rows of a prompt that one step takes on this device. */
  readonly chunkRows: number;
  /** Pages experts; null in a dense model. */
  readonly pager: ExpertPager | null;
  /** Runs the layers that page; null in a dense model. */
  readonly stage: ExpertStage | null;
  counters(): Record<string, number>;
  close(): Promise<void>;
}

/** Told about each phase of loading, in bytes or layers. */
export type OnProgress = (phase: string, done: number, total: number) => void;

/** Experts that all fit are read at start up to this size; of larger models only those that tokens ask for. */
const PRELOAD_BYTES = 256 * 2 ** 20;

/** What the parts of the builder share. */
interface Site {
  readonly gpu: Gpu;
  readonly snapshot: Snapshot;
  readonly config: ModelConfig;
  readonly prefix: string;
  readonly memory: GpuMemory;
  readonly onProgress: OnProgress;
}

/**
 * Plans, allocates, loads, compiles and warms up.
 * @throws {PlanError} if the budget is too small
 * @throws {WeightsError} if a weight cannot be read or is not finite
 */
export async function buildRunner(
  gpu: Gpu,
  snapshot: Snapshot,
  config: ModelConfig,
  options: EngineOptions,
  onProgress: OnProgress,
): Promise<BuiltRunner> {
  const { device } = gpu;
  const memory = new GpuMemory(gpu);
  const prefix = textPrefix((name) => snapshot.has(name) ? snapshot.tensor(name).dtype : undefined);
  const site: Site = { gpu, snapshot, config, prefix, memory, onProgress };
  const reader = expertReader(site);
  const sharedInSlots = reader !== null && config.mlp.kind === "moe" &&
    reader.sharedFits(config.mlp.sharedDff);
  const trunkBytes = trunkSize(site, sharedInSlots ? reader.layout : null);
  const { plan, bounds } = await planModel(site, options, {
    trunkBytes,
    layout: reader?.layout ?? null,
  });
  let loaded = 0;
  const placement = new Placement(device, memory, snapshot, (bytes) => {
    onProgress("trunk", loaded += bytes, trunkBytes);
  });
  const trunk = await loadTrunk(config, snapshot, placement, sharedInSlots);
  const { scratch, steps } = allocateScratch(memory, config, bounds);
  device.queue.writeBuffer(
    scratch.embedIds,
    0,
    Uint32Array.from({ length: bounds.maxRows }, (_, i) => i),
  );
  const caches = allocateCaches(memory, config, { ...plan, kvFormat: options.kv });
  const slots = reader && allocateExperts(site, reader.layout, {
    slots: plan.expertSlots,
    shared: sharedInSlots,
  });
  if (slots && sharedInSlots) {
    for (let layer = 0; layer < config.layers; layer++) {
      loaded += await reader.loadShared(layer, (bytes) => slots.writeShared(layer, bytes));
      onProgress("trunk", loaded, trunkBytes);
    }
  }
  const pager = reader && slots && expertPager(site, reader, slots, plan.expertSlots);
  if (config.mlp.kind === "moe") {
    device.queue.writeBuffer(scratch.block.stopValues!, 0, stopValues(config.layers));
  }
  const kernels = new KernelCache(device);
  const sampling = new Program(device, kernels);
  const sizes = samplerSizes(config, bounds);
  addSampler(sampling, { sizes, steps, scratch: scratch.sampler, logits: scratch.logits });
  const forward = {
    config,
    trunk,
    caches,
    kvFormat: options.kv,
    pools: slots?.pools ?? [],
    steps,
    scratch,
    maxContext: bounds.maxContext,
  };
  const programs = {
    decode: buildForward(device, kernels, "decode", forward),
    prefill: buildForward(device, kernels, "prefill", forward),
  };
  const idStride = config.mlp.kind === "moe" ? moeIdStride(config.mlp, bounds.maxRows) : 0;
  const readback = await Readback.open(
    device,
    Math.max(SAMPLE_BYTES * DECODE_ROWS, STEP.words * 4 * 2 + config.layers * idStride * 4),
    syncReadbackWorks(),
  );
  const experts = pager && slots && config.mlp.kind === "moe"
    ? new ExpertStage({
      device,
      pager,
      step: steps.step,
      tables: slots.pools.map((pool) => pool.table),
      ids: scratch.block.ids!,
      idStride,
      topK: config.mlp.topK,
      readback,
    }, config.layers)
    : null;
  const runner = new GpuRunner({
    device,
    programs,
    steps,
    scratch,
    sampling,
    samplerSizes: sizes,
    rotaryDim: config.attention.rotaryDim,
    ropeRow: ropeRow(config.attention.rotaryDim, config.rope),
    ...embedding(site),
    readback,
    experts,
  });
  onProgress("kernels", 0, 1);
  await runner.warmUp();
  if (pager && plan.allResident && expertBytes(site, reader!.layout) <= PRELOAD_BYTES) {
    await pager.loadAll((done, total) => onProgress("experts", done, total));
  }
  const copies = new GpuCopies(device, caches, cacheSizes(config, options.kv));
  const cache = new HybridCache({
    arenaPages: Array.from(
      { length: plan.kvArenas },
      () => pagesPerArena(plan.kvPages, plan.kvArenas),
    ),
    pageTokens: PAGE_TOKENS,
    stateSlots: plan.stateSlots,
    copies,
    byteLimit: options.stateCacheBytes,
  });
  return {
    runner,
    cache,
    plan,
    chunkRows: bounds.maxRows,
    pager,
    stage: experts,
    counters: () => ({
      ...runner.counters,
      ...pager?.counters,
      ...cache.counters,
      checkpointsKept: cache.checkpoints.size,
      checkpointBytes: cache.checkpoints.ramBytes,
      kvPages: plan.kvPages,
      kvPageTokens: PAGE_TOKENS,
      pipelines: kernels.size,
    }),
    close: async () => {
      await readback.close();
      copies.destroy();
      memory.destroy();
    },
  };
}

function expertBytes({ config }: Site, layout: ExpertLayout): number {
  return config.mlp.kind === "moe" ? config.layers * config.mlp.experts * layout.stride : 0;
}

function expertReader({ snapshot, config, prefix }: Site): ExpertReader | null {
  if (config.mlp.kind === "dense") return null;
  const { experts, dff } = config.mlp;
  return new ExpertReader({
    snapshot,
    prefix,
    layers: config.layers,
    experts,
    hidden: config.hidden,
    dff,
  });
}

function allocateExperts(
  { gpu, memory, config }: Site,
  layout: ExpertLayout,
  counts: { readonly slots: number; readonly shared: boolean },
): GpuSlots | null {
  if (config.mlp.kind === "dense") return null;
  const { experts } = config.mlp;
  return new GpuSlots(memory, gpu.device.queue, layout, {
    layers: config.layers,
    experts,
    ...counts,
  });
}

function expertPager(
  { config }: Site,
  reader: ExpertReader,
  slots: GpuSlots,
  count: number,
): ExpertPager | null {
  if (config.mlp.kind === "dense") return null;
  const { experts, topK } = config.mlp;
  return new ExpertPager({
    layers: config.layers,
    experts,
    slots: count,
    topK,
    load: (layer, expert, slot) =>
      reader.load(layer, expert, (bytes) => slots.write(layer, slot, bytes)),
    writeTable: (layer, table) => slots.writeTable(layer, table),
  });
}

/** Plans with the largest chunk that fits the device's bindings. */
async function planModel(
  site: Site,
  options: EngineOptions,
  { trunkBytes, layout }: { readonly trunkBytes: number; readonly layout: ExpertLayout | null },
): Promise<{ plan: MemoryPlan; bounds: StepBounds }> {
  const { gpu, config } = site;
  const sizes = cacheSizes(config, options.kv);
  const linear = config.layerKinds.filter((kind) => kind === "linear").length;
  const { mlp } = config;
  const experts = mlp.kind === "moe" && layout
    ? { layers: config.layers, count: mlp.experts, topK: mlp.topK, stride: layout.stride }
    : null;
  const longest = options.context ?? Math.min(config.maxPositions, LONGEST_DEFAULT_CONTEXT);
  const wanted = {
    maxRows: options.chunkRows,
    maxSequences: options.maxSequences,
    maxContext: longest,
  };
  const maxRows = Math.max(DECODE_ROWS, rowsThatFit(config, wanted, gpu.maxBinding));
  const bounds = { ...wanted, maxRows };
  const input = {
    maxBinding: gpu.maxBinding,
    trunk: trunkBytes,
    activations: scratchBytes(config, bounds),
    stateSlot: linear * (sizes.stateSlot + sizes.convSlot),
    kvPage: 2 * (config.layers - linear) * sizes.kvPage,
    kvPageBinding: sizes.kvPage,
    pageTokens: PAGE_TOKENS,
    maxSequences: options.maxSequences,
    context: options.context,
    maxPositions: config.maxPositions,
    experts,
  };
  const everything = planMemory({ ...input, budget: Infinity }).total;
  const plan = planMemory({ ...input, budget: await readBudget(gpu, options.vram, everything) });
  return { plan, bounds: { ...bounds, maxContext: plan.contextLength } };
}

/**
 * Bytes of the trunk on the GPU: all tensors but the embedding table and the routed experts, vectors widened;
 * `shared` is the slot that each shared expert takes, if it takes one.
 */
function trunkSize({ snapshot, config, prefix }: Site, shared: ExpertLayout | null): number {
  const dtypeOf = (name: string) => snapshot.has(name) ? snapshot.tensor(name).dtype : undefined;
  const onHost = config.tiedEmbeddings ? "" : `${prefix}embed_tokens.weight`;
  let bytes = shared ? config.layers * shared.stride : 0;
  for (const name of expectedTensors(config, dtypeOf).keys()) {
    if (name === onHost || name.includes(".mlp.experts.")) continue;
    if (shared && name.includes(".mlp.shared_expert.")) continue;
    const { byteLength, shape, dtype } = snapshot.tensor(name);
    const widened = shape.length !== 2 && dtype === "BF16" ? 2 : 1;
    bytes += Math.ceil(byteLength * widened / 16) * 16;
  }
  return bytes;
}

/** Access to the embedding table, which stays in the file. */
function embedding(
  { snapshot, config, prefix }: Site,
): Pick<RunnerParts, "embedBytes" | "readEmbedding"> {
  const table = snapshot.tensor(`${prefix}embed_tokens.weight`);
  const embedBytes = 2 * config.hidden;
  return { embedBytes, readEmbedding: (token, into) => table.readSync(token * embedBytes, into) };
}
