/**
 * A few layers with the sizes of 35B-A3B and nobody's weights, run on a real device by the engine's own programs, so that each
 * kind of kernel can be timed by itself.
 * @module
 */
import { packStep } from "../engine/step.ts";
import { expertLayout } from "../../shaders/common/expert_layout.ts";
import type { StepShape } from "../../shaders/kernel_spec.ts";
import type { Gpu } from "../gpu/device.ts";
import type { KernelCache } from "../gpu/kernel.ts";
import { GpuMemory } from "../gpu/memory.ts";
import type { Program } from "../gpu/program.ts";
import type { ForwardPrograms } from "../model/forward.ts";
import { moeIdStride, moeRanks, stopValues } from "../model/moe_parts.ts";
import { DECODE_ROWS, PAGE_TOKENS } from "../model/parts.ts";
import { expertFormat, type PlanChoice } from "../plan_input.ts";
import { type Blueprint, drawModel } from "./blueprint.ts";
import { SEVERAL } from "./kernel_rates.ts";
import { PaperPass } from "./paper_device.ts";
import type { Work } from "./stopwatch.ts";
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
/** Bytes that are written at a time. */
const PIECE = 2 ** 20;
/** Smaller buffers among the experts' are tables. */
const TABLE_BYTES = 2 ** 16;
/** Experts that there is room for. */
const PLACES = { software: 16, hardware: 48 } as const;

/**
 * The sizes of 35B-A3B, in a few layers: on hardware more than its caches hold. A CPU computes longer than it reads: there
 * fewer heads and a smaller vocabulary show as much.
 */
export function realSizes({ software }: Gpu): Subject {
  const { mlp, attention } = memberSubject("35B-A3B", "fp8").config;
  if (mlp.kind === "dense") throw new TypeError("Cannot time experts: the model is dense");
  return changedSubject(
    "35B-A3B",
    software
      ? {
        layerKinds: ["linear", "full"],
        attention: { ...attention, heads: attention.heads / 2, kvHeads: attention.kvHeads / 2 },
        vocab: 2048,
      }
      : {
        layerKinds: ["linear", "linear", "linear", "full"],
        mlp: { ...mlp, experts: 64 },
        vocab: 8192,
      },
  );
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
  /** Of each expert: every buffer of slots is the same one, and has room for a few. */
  readonly #places: readonly number[];
  /** Of each expert, as its layer's table has it. */
  readonly #slots: readonly number[];
  #shape: StepShape = { rows: 1, segments: 1, headRows: 1, maxContext: 1 };

  /** Allocates everything for a mixture of experts, run by `kernels`. */
  constructor(gpu: Gpu, subject: Subject, kernels: KernelCache) {
    this.#gpu = gpu;
    this.subject = subject;
    const { config, config: { mlp, hidden }, tensors } = subject;
    if (mlp.kind === "dense") throw new TypeError("Cannot time experts: the model is dense");
    // One long sequence, or a page for each of many.
    const pages = PROBE_CONTEXT / PAGE_TOKENS + BATCH;
    const choice = probeChoice(gpu);
    const { stride } = expertLayout({ hidden, dff: mlp.dff, format: expertFormat(tensors) });
    const places = PLACES[gpu.software ? "software" : "hardware"];
    this.#memory = new ProbeMemory(gpu, places * stride);
    this.#model = drawModel(this.#memory, gpu.device, {
      ...{ subject, choice, fills: false, ahead: false, kernels, stateSlots: 1 },
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
    const { chunks } = this.#model.pools[0]!;
    this.#places = chunks.flatMap(({ slots }) =>
      Array.from({ length: slots }, (_, i) => i % places)
    );
    this.#slots = chunks.flatMap(({ firstSlot, slots }) =>
      Array.from({ length: slots }, (_, i) => firstSlot + i % places)
    );
    for (const { table } of this.#model.pools) {
      queue.writeBuffer(table, 0, Uint32Array.from(this.#slots));
    }
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
        // What several sequences do with their states is not timed.
        ...{ arena: 0, stateRead: 0, stateWrite: 0, sampler: i },
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

  /** Builds all programs, which else are built when they are first asked for. */
  draw(): void {
    for (const phase of ["decode", "prefill"] as const) this.#model.programs(phase);
  }

  /** Dispatches of the whole step. */
  get dispatches(): number {
    const pass = new PaperPass();
    for (const program of this.#wholeOf(this.#programs())) {
      program.record(pass.encoder, this.#shape);
    }
    return pass.dispatches;
  }

  /** Bytes of all buffers; 0 once they are freed. */
  get bytes(): number {
    return this.#memory.total;
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

  /** Each row's own choice, as independent as numbers can be, none twice in one place; the shared expert comes last. */
  #chooseExperts(rows: number, most?: number) {
    const { mlp } = this.subject.config;
    if (mlp.kind === "dense") throw new TypeError("Cannot choose experts: the model is dense");
    const { topK } = mlp;
    const count = most ?? mlp.experts;
    const ids = new Uint32Array(rows * this.#ranks);
    const used = new Set<number>();
    let random = 1;
    for (let row = 0; row < rows; row++) {
      const own = new Map<number, number>();
      while (own.size < topK) {
        random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
        const expert = (random >>> 16) % count;
        own.set(this.#places[expert]!, expert);
      }
      ids.set([...own.values(), mlp.experts], row * this.#ranks);
      // Kernels of few rows read a slot once for all whose experts lie there, those of many rows once for each expert.
      for (const expert of own.values()) {
        used.add(rows > DECODE_ROWS ? expert : this.#slots[expert]!);
      }
    }
    return { ids, distinct: used.size };
  }
}

/** What the engine would be started with. */
export function probeChoice({ maxBinding }: Gpu): PlanChoice {
  const context = PROBE_CONTEXT + CHUNK;
  return { maxBinding, maxSequences: BATCH, context, chunkRows: CHUNK, kv: "f32" };
}

/** Memory in which everything is a number, and the slots of all layers' experts lie in one place. */
class ProbeMemory extends GpuMemory {
  readonly #device: GPUDevice;
  readonly #numbers: GPUBuffer;
  readonly #expertBytes: number;
  #experts: GPUBuffer | null = null;

  /** `expertBytes` is the size of that place. */
  constructor(gpu: Gpu, expertBytes: number) {
    super(gpu);
    this.#device = gpu.device;
    this.#expertBytes = expertBytes;
    this.#numbers = super.storage("numbers", "numbers", PIECE);
    gpu.device.queue.writeBuffer(this.#numbers, 0, new Uint32Array(PIECE / 4).fill(ANY_NUMBER));
  }

  override storage(purpose: string, label: string, size: number): GPUBuffer {
    if (purpose === "experts" && size > TABLE_BYTES) {
      return this.#experts ??= this.#filled(purpose, "experts", Math.min(size, this.#expertBytes));
    }
    return this.#filled(purpose, label, size);
  }

  /** Copied on the device: it keeps in the host's memory what it is given, until that has been copied. */
  #filled(purpose: string, label: string, size: number): GPUBuffer {
    const buffer = super.storage(purpose, label, size);
    const encoder = this.#device.createCommandEncoder();
    for (let at = 0; at < buffer.size; at += PIECE) {
      const bytes = Math.min(PIECE, buffer.size - at);
      encoder.copyBufferToBuffer(this.#numbers, 0, buffer, at, bytes);
    }
    this.#device.queue.submit([encoder.finish()]);
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
