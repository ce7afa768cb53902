/**
 * A model's programs without its weights: built by the engine's own code from the configuration, the list of tensors and
 * the memory plan. On a device of paper they are counted, on a real one they can be timed.
 * @module
 */
import type { StepShape } from "../../shaders/kernel_spec.ts";
import { expertLayout } from "../../shaders/common/expert_layout.ts";
import { GpuSlots } from "../experts/gpu_slots.ts";
import { HostStore } from "../experts/host_store.ts";
import { KernelCache } from "../gpu/kernel.ts";
import { GpuMemory } from "../gpu/memory.ts";
import { Program } from "../gpu/program.ts";
import { type AheadPrograms, buildAhead } from "../model/ahead.ts";
import { allocateCaches } from "../model/caches.ts";
import { buildForward, type ForwardPrograms } from "../model/forward.ts";
import { DECODE_ROWS, type ExpertPool, type Phase, type StepBuffers } from "../model/parts.ts";
import { addSampler } from "../model/sampler.ts";
import { allocateScratch, type ModelScratch, samplerSizes } from "../model/scratch.ts";
import type { MemoryPlan } from "../plan.ts";
import { expertFormat, largestStep, type PlanChoice, sharedHasSlot } from "../plan_input.ts";
import { sketchTrunk } from "./blueprint_trunk.ts";
import { type PaperChoice, paperGpu, PaperPass } from "./paper_device.ts";
import type { Subject } from "./subject.ts";

/** What is drawn. */
export interface BlueprintParts {
  readonly subject: Pick<Subject, "config" | "tensors">;
  readonly choice: PlanChoice;
  readonly plan: Pick<MemoryPlan, "contextLength" | "expertSlots" | "kvPages" | "kvArenas">;
  /** The device itself fills the slots of the experts. */
  readonly fills: boolean;
  /** One step follows another without the host. */
  readonly ahead: boolean;
  /** Those of the device's usual variant unless given. */
  readonly kernels?: KernelCache;
  /** Recurrent states; two a sequence unless given. How many there are changes no program. */
  readonly stateSlots?: number;
  /** Only these layers of the model, by their places; all unless given. */
  readonly layers?: readonly number[];
}

/** The programs, and the buffers that tell them what a step is. */
export interface Blueprint {
  /** The pass of a phase; built when it is first asked for. */
  programs(phase: Phase): ForwardPrograms;
  readonly sampling: Program;
  readonly ahead: AheadPrograms | null;
  readonly steps: StepBuffers;
  readonly scratch: ModelScratch;
  /** One entry a layer; empty in a dense model. */
  readonly pools: readonly ExpertPool[];
}

/** Draws a model in `memory`; every buffer is allocated there. */
export function drawModel(
  memory: GpuMemory,
  device: GPUDevice,
  { subject: { config: whole, tensors }, choice, plan, fills, ahead, layers, ...more }:
    BlueprintParts,
): Blueprint {
  const indices = layers ?? whole.layerKinds.map((_, index) => index);
  const layerKinds = indices.map((index) => whole.layerKinds[index]!);
  const config = { ...whole, layers: indices.length, layerKinds };
  const { kv, maxSequences, head } = choice;
  const { kernels = new KernelCache(device), stateSlots = 2 * maxSequences } = more;
  const sharedInSlots = sharedHasSlot(config, tensors);
  const trunk = sketchTrunk(memory, {
    ...{ config, indices, tensors, sharedInSlots },
    embedding: ahead,
    int8Head: head === "int8",
  });
  const bounds = { ...largestStep(config, choice), maxContext: plan.contextLength };
  const { scratch, steps } = allocateScratch(memory, config, bounds);
  const caches = allocateCaches(memory, config, { ...plan, stateSlots, kvFormat: kv });
  const pools = poolsOf(memory, device.queue, {
    ...{ config, sharedInSlots, fills, slots: plan.expertSlots },
    format: expertFormat(tensors),
  });
  const { maxContext } = bounds;
  const parts = { config, trunk, caches, kvFormat: kv, pools, steps, scratch, maxContext };
  const built: Partial<Record<Phase, ForwardPrograms>> = {};
  const sampling = new Program(device, kernels);
  const { logits, sampler, hidden } = scratch;
  addSampler(sampling, { sizes: samplerSizes(config, bounds), steps, scratch: sampler, logits });
  const { embedding: table } = trunk;
  const samples = sampler.samples!;
  const passage = { width: config.hidden, steps, scratch: scratch.ahead, samples, hidden };
  return {
    programs: (phase) => built[phase] ??= buildForward(device, kernels, phase, parts),
    sampling,
    ahead: table && buildAhead(device, kernels, { ...passage, table }),
    ...{ steps, scratch, pools },
  };
}

/** Dispatches of steps, by what they are made of. */
export interface StepCounts {
  /** Of one step in the middle of many. */
  step(shape: StepShape): number;
  /** Of the experts of one layer, which run once more after a stop that brings some in. */
  experts(shape: StepShape): number;
}

/** Counts a model's dispatches on paper: of its first layer, and of one of each kind of the others. */
export function countDispatches(
  parts: BlueprintParts & { readonly paper: PaperChoice },
): StepCounts {
  const gpu = paperGpu(parts.paper);
  const { layerKinds } = parts.subject.config;
  const others = [...new Set(layerKinds)]
    .map((kind) => layerKinds.indexOf(kind, 1)).filter((index) => index > 0);
  const layers = [0, ...others];
  const model = drawModel(new GpuMemory(gpu), gpu.device, { ...parts, layers });
  /** How many layers of the model are like the one that was drawn. */
  const alike = [
    1,
    ...others.map((index) => {
      const kind = layerKinds[index];
      return layerKinds.filter((other, i) => i > 0 && other === kind).length;
    }),
  ];
  return {
    step: (shape) =>
      countEnds(model, shape) +
      alike.reduce((sum, times, i) => sum + times * countLayer(model, i, shape), 0),
    experts: (shape) => count([programsOf(model, shape).layers[0]!.experts], shape),
  };
}

/** Embedding, head and sampling, and the passage to the next step where there is one. */
function countEnds(model: Blueprint, shape: StepShape): number {
  const { ahead, sampling } = model;
  const { embed, head } = programsOf(model, shape);
  const further = shape.rows > DECODE_ROWS ? null : ahead;
  const last = shape.headRows === 0 ? [] : [head, sampling, ...(further ? [further.advance] : [])];
  return count([(further ?? { embed }).embed, ...last], shape);
}

function countLayer(model: Blueprint, index: number, shape: StepShape): number {
  const { route, experts, combine } = programsOf(model, shape).layers[index]!;
  return count([route, experts, combine], shape);
}

function programsOf({ programs }: Blueprint, { rows }: StepShape): ForwardPrograms {
  return programs(rows > DECODE_ROWS ? "prefill" : "decode");
}

function count(programs: readonly Program[], shape: StepShape): number {
  const pass = new PaperPass();
  for (const program of programs) program.record(pass.encoder, shape);
  return pass.dispatches;
}

/** The experts' slots, and their places in host memory where the device fills the slots. */
function poolsOf(
  memory: GpuMemory,
  queue: GPUQueue,
  { config, sharedInSlots, fills, slots, format }: {
    readonly config: BlueprintParts["subject"]["config"];
    readonly sharedInSlots: boolean;
    readonly fills: boolean;
    readonly slots: number;
    readonly format: "fp8" | "bf16";
  },
): readonly ExpertPool[] {
  const { mlp, hidden, layers } = config;
  if (mlp.kind === "dense") return [];
  const layout = expertLayout({ hidden, dff: mlp.dff, format });
  const sizes = { layers, experts: mlp.experts, slots, topK: mlp.topK };
  const sharedSlot = sharedInSlots ? slots : null;
  const host = fills ? new HostStore(memory, queue, layout, { ...sizes, sharedSlot }).layers : [];
  return new GpuSlots(memory, queue, layout, { ...sizes, shared: sharedInSlots, host }).pools;
}
