/**
 * Runs steps on the GPU: writes what the step is, records the forward pass, pages experts where they are
 * missing, reads the samples back.
 * @module
 */
import { TILE_ROWS_OF_FEW } from "../../shaders/common/products.ts";
import { STEP } from "../../shaders/common/step.ts";
import type { StepShape } from "../../shaders/kernel_spec.ts";
import type { Kernel } from "../gpu/kernel.ts";
import { type ForwardPrograms, recordLayers } from "../model/forward.ts";
import { DECODE_ROWS } from "../model/parts.ts";
import { readSample, SAMPLE_BYTES, writeSamplerSlot } from "../model/sampler.ts";
import type { GenerateRequest } from "../contract.ts";
import type { Runner, StepResult } from "./core.ts";
import type { Sample } from "./sequence.ts";
import { RunAhead } from "./run_ahead.ts";
import type { RunnerCounters, RunnerParts } from "./runner_parts.ts";
import { type HeadRow, type PackedStep, packStep, type Step } from "./step.ts";

/** The engine's runner on a GPU. */
export class GpuRunner implements Runner {
  readonly #parts: RunnerParts;
  /** Totals since start. */
  readonly counters: RunnerCounters = { dispatches: 0, submissions: 0, stepsAhead: 0 };
  readonly #ahead: RunAhead | null;

  constructor(parts: RunnerParts) {
    this.#parts = parts;
    const { ahead, programs: { decode } } = parts;
    this.#ahead = ahead && new RunAhead({ ...parts, decode, ahead, counters: this.counters });
  }

  stepsAhead(): number {
    const { experts, pace } = this.#parts;
    // While experts are paged, the host has to look after each layer that misses one.
    return this.#ahead && (!experts || experts.isIdle()) ? pace.steps : 1;
  }

  async run(step: Step): Promise<StepResult> {
    const began = performance.now();
    const packed = packStep(step);
    if (step.ahead) {
      this.#write(packed, step.heads.length);
      return await this.#ahead!.run(packed, step.ahead);
    }
    const result = await this.#runOne(step, packed);
    if (step.phase === "decode") this.#parts.pace.took(performance.now() - began, 1);
    return result;
  }

  async #runOne(step: Step, packed: PackedStep): Promise<StepResult> {
    const batches = headBatches(step.heads);
    this.#write(packed, batches[0]?.length ?? 0);
    const programs = this.#parts.programs[step.phase];
    const failedRows = await this.#page(programs, packed.shape);
    let encoder = this.#parts.device.createCommandEncoder();
    if (!failedRows) this.#recordBody(encoder, programs, packed.shape);
    const samples: Sample[] = [];
    for (const [index, batch] of batches.entries()) {
      if (index > 0) {
        encoder = this.#parts.device.createCommandEncoder();
        this.#writeHeadCount(batch.length);
      }
      samples.push(
        ...await this.#sample(
          encoder,
          programs,
          { ...packed.shape, headRows: batch.length },
          batch,
        ),
      );
    }
    if (batches.length === 0) await this.#wait(encoder);
    return { samples, failed: failedSegments(step, failedRows ?? new Map()) };
  }

  prepareSampler(slot: number, request: GenerateRequest, tokens: readonly number[]): void {
    const { device: { queue }, samplerSizes: sizes, scratch } = this.#parts;
    writeSamplerSlot(queue, { sizes, scratch: scratch.sampler, slot }, {
      sampling: request.sampling,
      realVocab: request.sampling.idLimit ?? sizes.vocab,
      top: Math.max(request.logprobs ?? 0, request.promptLogprobs ?? 0),
      prompt: request.tokens,
      generated: tokens.slice(request.tokens.length),
    });
  }

  /**
   * Dispatches every kernel once on a step that is marked as stopped, so that nothing is computed but
   * drivers that compile late have compiled. `onPass` is told how many of how many passes are done.
   */
  async warmUp(onPass: (done: number, passes: number) => void = () => {}): Promise<void> {
    const { device, programs, steps, sampling, ahead } = this.#parts;
    const done = new Set<Kernel>();
    const header = new Uint32Array(STEP.words);
    header[STEP.stopped] = 1;
    device.queue.writeBuffer(steps.step, 0, header);
    const passes = [
      ...TILE_ROWS_OF_FEW.map((rows) => ["decode", rows] as const),
      ["prefill", DECODE_ROWS + 1],
    ] as const;
    for (const [index, [phase, rows]] of passes.entries()) {
      onPass(index, passes.length);
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      const shape = { rows, segments: 1, headRows: Math.min(rows, DECODE_ROWS), maxContext: rows };
      const { embed, head } = programs[phase];
      recordLayers(programs[phase], pass, shape, done);
      for (const program of [embed, head, sampling, ahead?.embed, ahead?.advance]) {
        program?.record(pass, shape, done);
      }
      pass.end();
      await this.#wait(encoder);
    }
  }

  /** Runs the layers where experts are paged, and tells which rows failed; null where nothing is. */
  async #page(
    programs: ForwardPrograms,
    shape: StepShape,
  ): Promise<ReadonlyMap<number, unknown> | null> {
    const { experts } = this.#parts;
    if (!experts || experts.isIdle()) return null;
    const { dispatches, failedRows } = await experts.run(programs, shape);
    this.counters.dispatches += dispatches;
    return failedRows;
  }

  /** The layers in one pass, when everything they need is resident. */
  #recordBody(encoder: GPUCommandEncoder, programs: ForwardPrograms, shape: StepShape): void {
    const pass = encoder.beginComputePass();
    this.counters.dispatches += programs.embed.record(pass, shape) +
      recordLayers(programs, pass, shape);
    pass.end();
  }

  async #sample(
    encoder: GPUCommandEncoder,
    programs: ForwardPrograms,
    shape: StepShape,
    batch: readonly HeadRow[],
  ): Promise<Sample[]> {
    const { device, steps, scratch, sampling, readback } = this.#parts;
    device.queue.writeBuffer(steps.heads, 0, Uint32Array.from(batch, ({ row }) => row));
    const forced = Uint32Array.from(batch, ({ forced }) => forced === null ? 0 : forced + 1);
    device.queue.writeBuffer(scratch.sampler.forced!, 0, forced);
    const pass = encoder.beginComputePass();
    this.counters.dispatches += programs.head.record(pass, shape) +
      sampling.record(pass, shape);
    pass.end();
    const bytes = batch.length * SAMPLE_BYTES;
    encoder.copyBufferToBuffer(scratch.sampler.samples!, 0, readback.target, 0, bytes);
    this.#submit(encoder);
    const result = await readback.read(bytes);
    return batch.map((_, index) => readSample(result, index));
  }

  #write(packed: PackedStep, headRows: number): void {
    const { device: { queue }, steps, scratch, ropeRow, rotaryDim, embedBytes, readEmbedding } =
      this.#parts;
    packed.header[STEP.headRows] = headRows;
    queue.writeBuffer(steps.step, 0, packed.header);
    queue.writeBuffer(steps.rows, 0, packed.rows);
    queue.writeBuffer(steps.segments, 0, packed.segments);
    queue.writeBuffer(steps.pages, 0, packed.pages);
    const rope = new Float32Array(packed.positions.length * rotaryDim);
    packed.positions.forEach((positions, row) => ropeRow(positions, rope, row * rotaryDim));
    queue.writeBuffer(steps.rope, 0, rope);
    const rows = new Uint8Array(packed.tokens.length * embedBytes);
    packed.tokens.forEach((token, row) =>
      readEmbedding(token, rows.subarray(row * embedBytes, (row + 1) * embedBytes))
    );
    queue.writeBuffer(scratch.embedRows, 0, rows);
  }

  #writeHeadCount(headRows: number): void {
    this.#parts.device.queue.writeBuffer(
      this.#parts.steps.step,
      STEP.headRows * 4,
      Uint32Array.of(headRows),
    );
  }

  #submit(encoder: GPUCommandEncoder): void {
    this.#parts.device.queue.submit([encoder.finish()]);
    this.counters.submissions++;
  }

  /** Submits and waits, so that the host never runs ahead by more than a step. */
  async #wait(encoder: GPUCommandEncoder): Promise<void> {
    const { steps, readback } = this.#parts;
    encoder.copyBufferToBuffer(steps.step, 0, readback.target, 0, STEP.words * 4);
    this.#submit(encoder);
    await readback.read(STEP.words * 4);
  }
}

/** The segments that failed rows belong to. */
function failedSegments(step: Step, rows: ReadonlyMap<number, unknown>): Map<number, unknown> {
  const failed = new Map<number, unknown>();
  let first = 0;
  step.segments.forEach(({ tokens }, index) => {
    for (let row = first; row < first + tokens.length; row++) {
      if (rows.has(row)) failed.set(index, rows.get(row));
    }
    first += tokens.length;
  });
  return failed;
}

/** Head rows in batches that the head's kernels take. */
function headBatches(heads: readonly HeadRow[]): HeadRow[][] {
  const batches: HeadRow[][] = [];
  for (let i = 0; i < heads.length; i += DECODE_ROWS) batches.push(heads.slice(i, i + DECODE_ROWS));
  return batches;
}
