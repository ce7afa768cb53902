/** The memory plan of a model on a device, from the sizes of its tensors and of what a step needs. @module */
import type { ExpertLayout } from "../../shaders/common/expert_layout.ts";
import { cacheSizes } from "../model/caches.ts";
import { expectedTensors } from "../model/names.ts";
import { DECODE_ROWS, PAGE_TOKENS } from "../model/parts.ts";
import { rowsThatFit, scratchBytes, type StepBounds } from "../model/scratch.ts";
import { LONGEST_DEFAULT_CONTEXT, type MemoryPlan, type PlanInput, planMemory } from "../plan.ts";
import { readBudget } from "./budget.ts";
import type { ExpertSource } from "./expert_build.ts";
import type { Site } from "./site.ts";

/** What was planned. */
export interface ModelPlan {
  readonly memory: MemoryPlan;
  readonly bounds: StepBounds;
  /** Bytes of weights that are placed at start. */
  readonly trunkBytes: number;
}

/**
 * Plans with the largest chunk that fits the device's bindings.
 * @throws {PlanError} if the budget is too small
 * @throws {OptionError} if the budget cannot be read
 */
export async function planModel(site: Site, source: ExpertSource | null): Promise<ModelPlan> {
  const { gpu, options } = site;
  const trunkBytes = trunkSize(site, source?.sharedInSlots ? source.reader.layout : null);
  const bounds = largestStep(site);
  const input = planInput(site, source, { bounds, trunkBytes });
  const everything = planMemory({ ...input, budget: Infinity }).total;
  const budget = await readBudget(gpu, options.vram, everything);
  const memory = planMemory({ ...input, budget });
  return { memory, bounds: { ...bounds, maxContext: memory.contextLength }, trunkBytes };
}

function largestStep({ gpu, config, options }: Site): StepBounds {
  const { chunkRows, maxSequences, context } = options;
  const maxContext = context ?? Math.min(config.maxPositions, LONGEST_DEFAULT_CONTEXT);
  const wanted = { maxRows: chunkRows, maxSequences, maxContext };
  return {
    ...wanted,
    maxRows: Math.max(DECODE_ROWS, rowsThatFit(config, wanted, gpu.maxBinding)),
  };
}

function planInput(
  { gpu, config, options }: Site,
  source: ExpertSource | null,
  { bounds, trunkBytes }: { readonly bounds: StepBounds; readonly trunkBytes: number },
): Omit<PlanInput, "budget"> {
  const sizes = cacheSizes(config, options.kv);
  const linear = config.layerKinds.filter((kind) => kind === "linear").length;
  return {
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
    experts: source && {
      layers: config.layers,
      count: source.mlp.experts,
      topK: source.mlp.topK,
      stride: source.reader.layout.stride,
    },
  };
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
