/** Builds what runs a model: plans its memory, places its weights, compiles its programs, warms up. @module */
import { STEP } from "../../shaders/common/step.ts";
import type { Snapshot } from "../../weights/mod.ts";
import type { ExpertPager } from "../experts/pager.ts";
import type { ReadAhead } from "../experts/read_ahead.ts";
import { chooseReadWay, type ReadChoice, readChoiceLine } from "../experts/read_way.ts";
import type { Gpu } from "../gpu/device.ts";
import type { KernelCache } from "../gpu/kernel.ts";
import { Program } from "../gpu/program.ts";
import { Readback, syncReadbackWorks } from "../gpu/readback.ts";
import { allocateCaches, cacheSizes, type LayerCaches, pagesPerArena } from "../model/caches.ts";
import type { ModelConfig } from "../model/config.ts";
import { buildForward, type ForwardPrograms } from "../model/forward.ts";
import { type AheadPrograms, buildAhead } from "../model/ahead.ts";
import { moeIdStride } from "../model/moe_parts.ts";
import { DECODE_ROWS, PAGE_TOKENS, type Phase, type StepBuffers } from "../model/parts.ts";
import { Placement } from "../model/placement.ts";
import { Quantizer } from "../model/quantizer.ts";
import { ropeRow } from "../model/rope.ts";
import { addSampler, SAMPLE_BYTES } from "../model/sampler.ts";
import { allocateScratch, type ModelScratch, samplerSizes } from "../model/scratch.ts";
import { loadTrunk, type Trunk } from "../model/trunk.ts";
import type { EngineOptions } from "../options.ts";
import type { MemoryPlan } from "../plan.ts";
import { KEPT_PASTS } from "../plan_input.ts";
import { GpuCopies } from "../state/gpu_copies.ts";
import { HybridCache } from "../state/hybrid_cache.ts";
import { openKernels } from "../tune/kernels.ts";
import type { SequenceCache } from "../state/sequence_cache.ts";
import {
  expertBytes,
  expertCounters,
  type ExpertPlaces,
  type ExpertSource,
  expertSource,
  expertStage,
  placeExperts,
} from "./expert_build.ts";
import type { ExpertStage } from "./expert_stage.ts";
import { openReadAhead } from "./look_ahead.ts";
import { type ModelPlan, planModel } from "./model_plan.ts";
import { GpuRunner } from "./runner.ts";
import type { RunnerParts } from "./runner_parts.ts";
import { Pace } from "./pace.ts";
import { chooseResidency, type ResidencyChoice } from "./residency.ts";
import { type OnProgress, openSite, type Site } from "./site.ts";

/** Everything that runs a model. */
export interface BuiltRunner {
  readonly runner: GpuRunner;
  readonly cache: SequenceCache;
  readonly plan: MemoryPlan;
  /** Where the routed experts live; null in a dense model. */
  readonly residency: ResidencyChoice | null;
  /** How experts are read; null in a dense model. */
  readonly reading: ReadChoice | null;
  /** The variant of the matrix kernels. */
  readonly kernels: string;
  /** Rows of a prompt that one step takes on this device. */
  readonly chunkRows: number;
  /** Pages experts; null in a dense model. */
  readonly pager: ExpertPager | null;
  /** Runs the layers that page; null in a dense model. */
  readonly stage: ExpertStage | null;
  counters(): Record<string, number>;
  close(): Promise<void>;
}

/** Told while the model is built. */
export interface BuildHooks {
  /** Before anything is allocated. */
  readonly onPlan: (plan: MemoryPlan, residency: ResidencyChoice | null) => void;
  readonly onProgress: OnProgress;
  /** Takes lines for people. */
  readonly log: (line: string) => void;
  /** Whether experts that all have a place are read at start; if absent, as the options and their size have it. */
  readonly preload?: boolean | undefined;
}

/** Experts that all fit are read at start up to this size; of larger models only those that tokens ask for. */
const PRELOAD_BYTES = 256 * 2 ** 20;

/** What lies on the GPU before anything is computed. */
interface Placed {
  readonly trunk: Trunk;
  /** Bytes read for it, shared experts in slots included. */
  readonly trunkRead: number;
  readonly caches: readonly LayerCaches[];
  readonly scratch: ModelScratch;
  readonly steps: StepBuffers;
  readonly source: ExpertSource | null;
  /** How experts are read; null in a dense model. */
  readonly reading: ReadChoice | null;
  readonly experts: ExpertPlaces | null;
  /** Looks ahead to the experts of later layers; null where it does not. */
  readonly looking: ReadAhead | null;
  readonly residency: ResidencyChoice | null;
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
  { onPlan, onProgress, log, preload: wanted }: BuildHooks,
): Promise<BuiltRunner> {
  const site = openSite(gpu, snapshot, config, options);
  const source = expertSource(site);
  const plan = await planModel(site);
  const residency = source && await chooseResidency(site, source, plan.memory);
  onPlan(plan.memory, residency);
  const kernels = await openKernels(gpu, options, log);
  const placed = await place(site, { source, residency }, plan, onProgress);
  if (placed.reading) log(readChoiceLine(placed.reading));
  const readback = await openReadback(site, plan);
  const stage = placed.source && placed.experts &&
    expertStage(site, placed.source, placed.experts, {
      ...placed,
      ahead: placed.looking,
      readback,
    });
  const runner = new GpuRunner({
    ...runnerParts(site, plan, placed, kernels),
    readback,
    experts: stage,
  });
  await runner.warmUp((done, passes) => onProgress("kernels", done, passes));
  if (wanted ?? preloads(site, plan, placed)) await preload(placed, onProgress);
  const copies = new GpuCopies(gpu.device, placed.caches, cacheSizes(config, options.kv));
  const cache = stateCache(site, plan, copies);
  const pager = placed.experts?.pager ?? null;
  return {
    runner,
    cache,
    plan: plan.memory,
    residency: placed.residency,
    reading: placed.reading,
    kernels: kernels.variant.name,
    chunkRows: plan.bounds.maxRows,
    pager,
    stage,
    counters: () => ({
      ...runner.counters,
      ...(placed.source && placed.experts && expertCounters(placed.source, placed.experts)),
      ...cacheCounters(cache, plan),
      ...readCounters(site, plan, placed),
      pipelines: kernels.size,
    }),
    close: async () => {
      await readback.close();
      await placed.experts?.meter?.close();
      copies.destroy();
      site.memory.destroy();
    },
  };
}

/** Loads the trunk and allocates everything else. */
async function place(
  site: Site,
  { source, residency }: Pick<Placed, "source" | "residency">,
  { memory: plan, bounds, trunkBytes, ahead }: ModelPlan,
  onProgress: OnProgress,
): Promise<Placed> {
  const { gpu: { device }, memory, snapshot, config, options } = site;
  let loaded = 0;
  const onBytes = (bytes: number) => onProgress("trunk", loaded += bytes, trunkBytes);
  const placement = new Placement(memory, snapshot, onBytes);
  const quantizer = options.head === "int8" ? new Quantizer(device) : null;
  const trunk = await loadTrunk(config, snapshot, placement, {
    sharedInSlots: source?.sharedInSlots ?? false,
    embedding: ahead > 1,
    quantizer,
  });
  quantizer?.destroy();
  const { scratch, steps } = allocateScratch(memory, config, bounds);
  const rows = Uint32Array.from({ length: bounds.maxRows }, (_, row) => row);
  device.queue.writeBuffer(scratch.embedIds, 0, rows);
  const caches = allocateCaches(memory, config, { ...plan, kvFormat: options.kv });
  const { layers, mlp } = config;
  const reading = source && mlp.kind === "moe"
    ? await chooseReadWay(source.reader, options.expertIo, { layers, experts: mlp.experts })
    : null;
  const places = { count: plan.expertSlots, inHost: residency?.mode === "host" };
  const experts = source && await placeExperts(site, source, places, onBytes);
  const looking = source && experts && residency?.mode === "paged" && !plan.allResident
    ? await openReadAhead(site, source, experts.pager, onBytes)
    : null;
  const trunkRead = loaded;
  return {
    ...{ trunk, trunkRead, caches, scratch, steps },
    ...{ source, reading, experts, looking, residency },
  };
}

/** What the runner works with, but who reads back and who pages. */
function runnerParts(
  site: Site,
  plan: ModelPlan,
  placed: Placed,
  kernels: KernelCache,
): Omit<RunnerParts, "readback" | "experts"> {
  const { gpu: { device }, config: { attention: { rotaryDim }, rope }, options } = site;
  const { steps, scratch } = placed;
  return {
    ...compile(site, plan, placed, kernels),
    ...embedding(site),
    ...{ device, steps, scratch, rotaryDim },
    ropeRow: ropeRow(rotaryDim, rope),
    ahead: ahead(site, placed, kernels),
    pace: new Pace(plan.ahead, options.runAhead !== null),
  };
}

/** The programs of the forward pass and of sampling. */
function compile(
  { gpu: { device }, config, options }: Site,
  { bounds }: ModelPlan,
  { trunk, caches, scratch, steps, experts }: Placed,
  kernels: KernelCache,
): Pick<RunnerParts, "programs" | "sampling" | "samplerSizes"> {
  const sampling = new Program(device, kernels);
  const sizes = samplerSizes(config, bounds);
  addSampler(sampling, { sizes, steps, scratch: scratch.sampler, logits: scratch.logits });
  const forward = (phase: Phase): ForwardPrograms =>
    buildForward(device, kernels, phase, {
      config,
      trunk,
      caches,
      kvFormat: options.kv,
      pools: experts?.slots.pools ?? [],
      steps,
      scratch,
      maxContext: bounds.maxContext,
    });
  const programs = { decode: forward("decode"), prefill: forward("prefill") };
  return { programs, sampling, samplerSizes: sizes };
}

/** The programs of running ahead, where the embedding table was placed for it. */
function ahead(
  { gpu: { device }, config: { hidden: width } }: Site,
  { trunk: { embedding: table }, steps, scratch }: Placed,
  kernels: KernelCache,
): AheadPrograms | null {
  const samples = scratch.sampler.samples!;
  const parts = { width, steps, scratch: scratch.ahead, samples, hidden: scratch.hidden };
  return table && buildAhead(device, kernels, { ...parts, table });
}

/** A read-back for the samples of a step or a batch, or for the header and the experts chosen in all layers. */
async function openReadback(
  { gpu, config }: Site,
  { bounds, ahead }: ModelPlan,
): Promise<Readback> {
  const { mlp, layers } = config;
  const idStride = mlp.kind === "moe" ? moeIdStride(mlp, bounds.maxRows) : 0;
  const choices = STEP.words * 4 * 2 + layers * idStride * 4;
  // Behind the choices comes what the last of these layers routed from, if the rows are few.
  const routed = 4 * DECODE_ROWS * config.hidden;
  const size = Math.max(SAMPLE_BYTES * DECODE_ROWS * ahead, choices + routed);
  return await Readback.open(gpu.device, size, syncReadbackWorks());
}

/** Whether to read all experts at start: where they have a place, and are small or it was asked for. */
function preloads(
  site: Site,
  { memory: { allResident } }: ModelPlan,
  { source, residency }: Placed,
): boolean {
  if (!source || !residency) return false;
  const holdsAll = residency.mode === "host" || (residency.mode === "resident" && allResident);
  const isAsked = site.options.residency !== "auto";
  return holdsAll && (isAsked || expertBytes(site, source) <= PRELOAD_BYTES);
}

async function preload({ experts }: Placed, onProgress: OnProgress): Promise<void> {
  await experts?.pager.loadAll((done, total) => onProgress("experts", done, total));
}

function stateCache(
  { options }: Site,
  { memory: { kvPages, kvArenas, stateSlots }, ahead }: ModelPlan,
  copies: GpuCopies,
): HybridCache {
  return new HybridCache({
    arenaPages: new Array<number>(kvArenas).fill(pagesPerArena(kvPages, kvArenas)),
    pageTokens: PAGE_TOKENS,
    stateSlots,
    copies,
    pasts: ahead > 1 ? KEPT_PASTS : 0,
    byteLimit: options.stateCacheBytes,
  });
}

function cacheCounters(
  { counters, checkpoints }: HybridCache,
  { memory: { kvPages } }: ModelPlan,
): Record<string, number> {
  return {
    ...counters,
    checkpointsKept: checkpoints.size,
    checkpointBytes: checkpoints.ramBytes,
    kvPages,
    kvPageTokens: PAGE_TOKENS,
  };
}

/** What was read from the files, and what experts have to do with it. */
function readCounters(
  { snapshot }: Site,
  { memory: { total, expertSlots } }: ModelPlan,
  { trunkRead, source, reading, looking }: Placed,
): Record<string, number> {
  return {
    fileBytes: snapshot.bytesRead,
    trunkBytes: trunkRead,
    plannedBytes: total,
    ...(source && { expertSlots, expertBytes: source.reader.layout.byteLength }),
    ...(reading && { trialBytes: reading.bytes }),
    ...looking?.counters,
  };
}

/** Access to the embedding table, which stays in the file. */
function embedding(
  { snapshot, config, prefix }: Site,
): Pick<RunnerParts, "embedBytes" | "readEmbedding"> {
  const table = snapshot.tensor(`${prefix}embed_tokens.weight`);
  const embedBytes = 2 * config.hidden;
  return { embedBytes, readEmbedding: (token, into) => table.readSync(token * embedBytes, into) };
}
