/** Opens the engine in the calling thread: checks, plans, loads, compiles, warms up. @module */
import type { Counters, EngineStatus, ModelInfo } from "./contract.ts";
import { EngineCore } from "./engine/core.ts";
import { buildRunner, type BuiltRunner } from "./engine/build.ts";
import { type ResidencyChoice, residencyLine } from "./engine/residency.ts";
import { Warmth } from "./engine/warmth.ts";
import type { OnRoute } from "./experts/trace.ts";
import { type Gpu, openGpu } from "./gpu/device.ts";
import { type DeviceLostError, lossOf, unlessLost } from "./gpu/loss.ts";
import type { ModelConfig } from "./model/config.ts";
import type { EngineOptions } from "./options.ts";
import { type MemoryPlan, PlanError, planTable, size } from "./plan.ts";
import { modelName, openCheckedSnapshot, parameterCount, readSnapshotConfig } from "./snapshot.ts";
import type { Snapshot } from "../weights/mod.ts";

/** An engine that is ready, in the thread that opened it. */
export interface OpenedEngine {
  readonly core: EngineCore;
  readonly info: ModelInfo;
  readonly runner: BuiltRunner;
  counters(): Counters;
  /** Resolves with the reason when the device is lost or an error escapes every scope. */
  readonly lost: Promise<string>;
  close(): Promise<void>;
}

/** What a caller may set beside the options. */
export interface OpenHooks {
  /** Where loading stands. */
  readonly onStatus?: (status: EngineStatus) => void;
  /** The snapshot's structure is sound. */
  readonly onChecked?: () => void;
  /** Lines for people: the adapter and the memory plan. */
  readonly log?: (line: string) => void;
  /** Pretend that a storage binding cannot be larger (bytes); for tests of the splitting. */
  readonly maxBinding?: number;
  /** Whether experts that all have a place are read at start, whatever their size; for tests of what comes without. */
  readonly preload?: boolean;
  /** Told of the experts that the routers choose; all steps take the way of paging then. */
  readonly onRoute?: OnRoute;
}

/** Snapshots beyond this are no test or demo. */
const LARGE_BYTES = 4 * 2 ** 30;

/**
 * Opens the model of `options.model` on the best GPU and starts its loop.
 * @throws {ConfigError | WeightsError} for a snapshot that cannot be served
 * @throws {PlanError | OptionError} for a budget or an option that does not fit
 * @throws {DeviceLostError} if the device is lost on the way
 */
export async function openEngine(
  options: EngineOptions,
  hooks: OpenHooks = {},
): Promise<OpenedEngine> {
  const { log = () => {} } = hooks;
  const { config } = readSnapshotConfig(options.model);
  const snapshot = openCheckedSnapshot(options.model, config);
  for (const warning of snapshot.warnings) log(`warning: ${warning}`);
  const id = modelName(options.model);
  const warmth = config.mlp.kind === "dense" ? null : new Warmth({
    ...options,
    header: { model: id, layers: config.layers, experts: config.mlp.experts },
    log,
  });
  hooks.onChecked?.();
  const gpu = await openGpu(hooks.maxBinding === undefined ? {} : { maxBinding: hooks.maxBinding });
  const lost = lossOf(gpu.device);
  log(`adapter: ${gpu.name}${gpu.software ? " (software: shaders run on the CPU)" : ""}`);
  if (gpu.software && snapshot.byteLength > LARGE_BYTES) {
    log(
      "WARNING: a full-size model on a software adapter: expect seconds a token. " +
        "Install the driver of a real GPU; deploy/run doctor says what is missing",
    );
  }
  const built = await build(gpu, snapshot, config, { options, hooks, lost });
  if (hooks.onRoute) built.stage?.watch(hooks.onRoute, { all: true });
  const core = new EngineCore(built.runner, built.cache, {
    maxSequences: options.maxSequences,
    maxWaiting: options.maxWaiting,
    chunkRows: built.chunkRows,
    contextLength: built.plan.contextLength,
  });
  warmth?.attach(built, core);
  void core.start();
  return {
    core,
    runner: built,
    info: { id, vocabSize: config.vocab, ...infoOf(gpu, snapshot, built) },
    counters: () => ({ ...core.load(), values: { ...core.counters, ...built.counters() } }),
    lost: lost.then(({ message }) => message),
    close: async () => {
      await core.stop();
      warmth?.save();
      await built.close();
      snapshot.close();
      gpu.device.destroy();
    },
  };
}

/** What is told of the model beside its name and vocabulary. */
function infoOf(
  { name: adapter, software }: Gpu,
  snapshot: Snapshot,
  { plan, kernels, residency, reading }: BuiltRunner,
): Omit<ModelInfo, "id" | "vocabSize"> {
  return {
    contextLength: plan.contextLength,
    parameters: parameterCount(snapshot),
    weightBytes: snapshot.byteLength,
    adapter,
    software,
    memoryBudget: plan.budget,
    kernels,
    ...(residency && { residency: residency.mode, expertSlots: plan.expertSlots }),
    ...(reading && { expertIo: reading.way }),
  };
}

/** Builds the runner; a loss of the device ends it at once. */
async function build(
  gpu: Gpu,
  snapshot: Snapshot,
  config: ModelConfig,
  { options, hooks, lost }: {
    readonly options: EngineOptions;
    readonly hooks: OpenHooks;
    readonly lost: Promise<DeviceLostError>;
  },
): Promise<BuiltRunner> {
  const { onStatus = () => {}, log = () => {}, preload } = hooks;
  let planned: Planned | null = null;
  const building = buildRunner(gpu, snapshot, config, options, {
    onPlan: (plan, residency) => {
      planned = { plan, residency };
      log(`memory plan:\n${planTable(plan)}`);
      if (residency) log(residencyLine(residency));
    },
    preload,
    onProgress: (phase, done, total) => onStatus({ state: "loading", phase, done, total }),
    log,
  });
  try {
    return await unlessLost(building, lost);
  } catch (error) {
    snapshot.close(); // ends what is still being loaded
    throw asPlanError(error as Error, planned);
  }
}

interface Planned {
  readonly plan: MemoryPlan;
  readonly residency: ResidencyChoice | null;
}

/** A card that does not hold what was planned will not hold it at the next try. */
function asPlanError(error: Error | DeviceLostError, planned: Planned | null): Error {
  const isFull = "outOfMemory" in error && error.outOfMemory;
  if (!isFull || !planned) return error;
  const { plan: { total }, residency } = planned;
  const mend = residency?.mode === "host" ? "let --residency be paged" : "lower --vram";
  return new PlanError(
    `Cannot allocate the ${size(total)} that were planned: the GPU has less to give, ` +
      `end what else uses it or ${mend} (${error.message})`,
  );
}
