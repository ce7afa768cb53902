/**
 * A few layers with the sizes of 35B-A3B and nobody's weights, run on a real device by the engine's own programs, so that each
 * kind of kernel can be timed by itself.
 * @module
 */
import { packStep } from "../engine/step.ts";
import type { ProductVariant } from "../../shaders/common/variants.ts";
import type { StepShape } from "../../shaders/kernel_spec.ts";
import type { Gpu } from "../gpu/device.ts";
import { GpuMemory } from "../gpu/memory.ts";
import type { Program } from "../gpu/program.ts";
import type { ForwardPrograms } from "../model/forward.ts";
import { moeIdStride, moeRanks, stopValues } from "../model/moe_parts.ts";
import { DECODE_ROWS, PAGE_TOKENS } from "../model/parts.ts";
import { type PlanChoice } from "../plan_input.ts";
import { type Blueprint, drawModel } from "./blueprint.ts";
import { SEVERAL } from "./kernel_rates.ts";
import { PaperPass } from "./paper_device.ts";
import { fillWords, type Work } from "./stopwatch.ts";
import { changedSubject, memberSubject, type Subject } from "./subject.ts";

/** What a step is asked for. */
export interface ProbeStep {
  readonly rows: number;
  /** Sequences that share the rows evenly. */
  readonly segments: number;
  /** Tokens before each sequence's rows. */
  readonly context: number;
  /** Experts that the rows are spread over; all unless said. */
  readonly experts?: number;
}

/** Sequences of the largest batch. */
const BATCH = SEVERAL.sixteen;
/** Rows of a step of a prompt. */
export const CHUNK = 32;
/** Tokens before a row where attention is timed. */
export const PROBE_CONTEXT = 2048;

/** Every number that is read is a small one: in 8, 16 and 32 bits. */
const ANY_NUMBER = 0x3c3c3c3c;
const PIECE_WORDS = 2 ** 20;
/** Larger buffers of experts are one and the same. */
const SHARED_BYTES = 2 ** 20;

/** The sizes of 35B-A3B: a few layers and, where a buffer may be large, a few experts. */
export function realSizes({ software }: Gpu): Subject {
  const { mlp } = memberSubject("35B-A3B", "fp8").config;
  if (mlp.kind === "dense") throw new TypeError("Cannot time experts: the model is dense");
  return changedSubject("35B-A3B", {
    // Hardware caches more than two layers.
    layerKinds: software ? ["linear", "full"] : ["linear", "linear", "linear", "full"],
    mlp: software ? mlp : { ...mlp, experts: 64 },
    vocab: 8192,
  });
}

/** Sizes at which a step takes as long as its dispatches. */
export function leastSizes(): Subject {
  const { attention, delta } = memberSubject("35B-A3B", "fp8").config;
  return changedSubject("35B-A3B", {
    hidden: 128,
    layerKinds: ["linear", "linear", "linear", "full"],
    attention: { ...attention, heads: 4, headDim: 64, rotaryDim: 16 },
    delta: { ...delta, keyHeads: 2, valueHeads: 4, keyDim: 64, valueDim: 64 },
    mlp: { kind: "moe", experts: 64, topK: 4, dff: 32, sharedDff: 32 },
    vocab: 2048,
  });
}

/** The model, and its steps as work that a stopwatch repeats. */
export class ProbeModel {
  readonly subject: Subject;
  readonly #gpu: Gpu;
  readonly #memory: ProbeMemory;
  readonly #model: Blueprint;
  readonly #ranks: number;
  readonly #stride: number;
  #shape: StepShape = { rows: 1, segments: 1, headRows: 1, maxContext: 1 };

  /** Allocates everything for a mixture of experts. */
  constructor(gpu: Gpu, subject: Subject, variant?: ProductVariant) {
    this.#gpu = gpu;
    this.subject = subject;
    const { config, config: { mlp } } = subject;
    if (mlp.kind === "dense") throw new TypeError("Cannot time experts: the model is dense");
    // One long sequence, or a page for each of many.
    const pages = PROBE_CONTEXT / PAGE_TOKENS + BATCH;
    const choice = probeChoice(gpu);
    this.#memory = new ProbeMemory(gpu);
    this.#model = drawModel(this.#memory, gpu.device, {
      ...{ subject: this.subject, choice, fills: false, ahead: false, ...variant && { variant } },
      plan: {
        contextLength: choice.context!,
        expertSlots: mlp.experts,
        ...{ kvPages: pages, kvArenas: 1 },
      },
    });
    this.#ranks = moeRanks(mlp);
    this.#stride = moeIdStride(mlp, this.#model.scratch.maxRows);
    const { queue } = gpu.device;
    queue.writeBuffer(this.#model.scratch.block.stopValues!, 0, stopValues(config.layers));
    const slots = Uint32Array.from({ length: mlp.experts + 1 }, (_, expert) => expert);
    for (const { table } of this.#model.pools) queue.writeBuffer(table, 0, slots);
    for (const buffer of Object.values(this.#model.scratch.sampler)) {
      queue.writeBuffer(buffer, 0, new Uint32Array(buffer.size / 4));
    }
  }

  /** Writes a step: later work runs it. Returns how many distinct experts a layer is asked for, the shared one left out. */
  prepare(step: ProbeStep): number {
    const { rows, segments, context, experts } = step;
    const each = rows / segments;
    const pages = Math.ceil((context + each) / PAGE_TOKENS);
    const packed = packStep({
      phase: rows > DECODE_ROWS ? "prefill" : "decode",
      segments: Array.from({ length: segments }, (_, i) => ({
        tokens: new Array<number>(each).fill(0),
        positions: new Array<readonly [number, number, number]>(each).fill([0, 0, 0]),
        context,
        pages: Array.from({ length: pages }, (_, page) => i * pages + page),
        ...{ arena: 0, stateRead: i, stateWrite: i, sampler: i },
      })),
      heads: Array.from({ length: segments }, (_, i) => ({
        row: (i + 1) * each - 1,
        forced: null,
      })),
    });
    const { queue } = this.#gpu.device;
    const { steps, scratch } = this.#model;
    queue.writeBuffer(steps.step, 0, packed.header);
    queue.writeBuffer(steps.rows, 0, packed.rows);
    queue.writeBuffer(steps.segments, 0, packed.segments);
    queue.writeBuffer(steps.pages, 0, packed.pages);
    const { ids, distinct } = this.#chooseExperts(rows, experts);
    for (let layer = 0; layer < this.subject.config.layers; layer++) {
      queue.writeBuffer(scratch.block.ids!, 4 * layer * this.#stride, ids);
    }
    this.#shape = packed.shape;
    return distinct;
  }

  /** The kernels of the prepared step whose names match, in all layers but for their experts, and of the head. */
  kernels(names: RegExp): Work {
    return this.#work(({ layers, head }) => [...layers.map(({ route }) => route), head], names);
  }

  /** The experts of one layer. */
  experts(): Work {
    return this.#work(({ layers }) => layers.slice(0, 1).map(({ experts }) => experts));
  }

  /** All of the step. */
  whole(): Work {
    return this.#work((programs) => this.#wholeOf(programs));
  }

  /** Dispatches of the whole step. */
  get dispatches(): number {
    const pass = new PaperPass();
    for (const program of this.#wholeOf(this.#programs())) {
      program.record(pass.encoder, this.#shape);
    }
    return pass.dispatches;
  }

  /** Frees everything. */
  close(): void {
    this.#memory.destroy();
  }

  #work(
    programsOf: (programs: ForwardPrograms) => readonly Program[],
    names = /./,
  ): Work {
    const shape = this.#shape;
    const programs = programsOf(this.#programs());
    const { device } = this.#gpu;
    return (repeats) => {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      const some = only(pass, names);
      for (let i = 0; i < repeats; i++) for (const program of programs) program.record(some, shape);
      pass.end();
      device.queue.submit([encoder.finish()]);
    };
  }

  #wholeOf({ embed, layers, head }: ForwardPrograms): readonly Program[] {
    const all = layers.flatMap(({ route, experts, combine }) => [route, experts, combine]);
    return [embed, ...all, head, this.#model.sampling];
  }

  #programs(): ForwardPrograms {
    return this.#model.programs(this.#shape.rows > DECODE_ROWS ? "prefill" : "decode");
  }

  /** Each row's own choice, as independent as numbers can be; the shared expert comes last. */
  #chooseExperts(rows: number, most?: number) {
    const { mlp } = this.subject.config;
    if (mlp.kind === "dense") throw new TypeError("Cannot choose experts: the model is dense");
    const { topK } = mlp;
    const count = most ?? mlp.experts;
    const ids = new Uint32Array(rows * this.#ranks);
    const used = new Set<number>();
    let random = 1;
    for (let row = 0; row < rows; row++) {
      const own = new Set<number>();
      while (own.size < topK) {
        random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
        own.add((random >>> 16) % count);
      }
      ids.set([...own, mlp.experts], row * this.#ranks);
      for (const expert of own) used.add(expert);
    }
    return { ids, distinct: used.size };
  }
}

/** What the engine would be started with. */
export function probeChoice({ maxBinding }: Gpu): PlanChoice {
  const context = PROBE_CONTEXT + CHUNK;
  return { maxBinding, maxSequences: BATCH, context, chunkRows: CHUNK, kv: "f32" };
}

/** Memory in which everything is a number, and the experts of all layers lie in one place. */
class ProbeMemory extends GpuMemory {
  readonly #queue: GPUQueue;
  readonly #experts = new Map<number, GPUBuffer>();
  readonly #words = new Uint32Array(PIECE_WORDS).fill(ANY_NUMBER);

  constructor(gpu: Gpu) {
    super(gpu);
    this.#queue = gpu.device.queue;
  }

  override storage(purpose: string, label: string, size: number): GPUBuffer {
    const shared = purpose === "experts" && size >= SHARED_BYTES;
    const known = shared ? this.#experts.get(size) : undefined;
    if (known) return known;
    const buffer = super.storage(purpose, label, size);
    fillWords(this.#queue, buffer, this.#words);
    this.#queue.submit([]); // or the queue would keep a copy of everything
    if (shared) this.#experts.set(size, buffer);
    return buffer;
  }
}

/** A pass that leaves out the kernels with other names. */
function only(pass: GPUComputePassEncoder, names: RegExp): GPUComputePassEncoder {
  let isOn = false;
  const some: Partial<GPUComputePassEncoder> = {
    setPipeline: (pipeline) => {
      isOn = names.test(pipeline.label);
      if (isOn) pass.setPipeline(pipeline);
    },
    setBindGroup: (index: number, group: GPUBindGroup | null) => {
      if (isOn) pass.setBindGroup(index, group);
    },
    dispatchWorkgroups: (x, y, z) => {
      if (isOn) pass.dispatchWorkgroups(x, y, z);
    },
    dispatchWorkgroupsIndirect: (buffer, offset) => {
      if (isOn) pass.dispatchWorkgroupsIndirect(buffer, offset);
    },
  };
  return some as GPUComputePassEncoder;
}
