/** Chooses tokens on the GPU: what the sampler needs, its dispatches, a slot's options, and what comes back. @module */
import {
  IN_PROMPT,
  MAX_TOP,
  OPTIONS,
  SAMPLE,
  SAMPLER_BLOCK,
  SAMPLER_FLAGS,
  SAMPLER_SCRATCH,
} from "../../shaders/sampler/layout.ts";
import {
  samplerBlockGrid,
  samplerBlocks,
  samplerDraw,
  samplerFinish,
  samplerRowGrid,
  samplerScan,
  samplerSelect,
} from "../../shaders/sampler/sampler.ts";
import type { SamplingOptions, ScoredToken } from "../contract.ts";
import type { Bound } from "../gpu/kernel.ts";
import type { Program } from "../gpu/program.ts";
import type { Scratch, StepBuffers } from "./parts.ts";

/** What the sampler's buffers are sized for. */
export interface SamplerSizes {
  /** Logits of a row, padding ids included. */
  readonly vocab: number;
  /** Sequences that can be sampled at the same time: a segment's `sampler` is one of them. */
  readonly slots: number;
  /** Most head rows of a step. */
  readonly maxHeadRows: number;
}

/** How the tokens of one slot are chosen. */
export interface SamplerSlot {
  readonly sampling: SamplingOptions;
  /** Ids from here on have no text: they are never chosen nor listed. */
  readonly realVocab: number;
  /** How many of the most probable ids to list (0-20). */
  readonly top: number;
  /** Ids of the prompt, for the repetition penalty. */
  readonly prompt: readonly number[];
  /** Ids generated before, when a sequence is taken up again. */
  readonly generated: readonly number[];
}

/** What one head row gave. */
export interface Sample extends ScoredToken {
  /** Most probable ids, best first, the lower id first among equals. */
  readonly top: readonly ScoredToken[];
  /** A logit was NaN or infinite: id and log-probability mean nothing. */
  readonly nan: boolean;
}

/** Bytes of one head row in the `samples` buffer; the first word is the id. */
export const SAMPLE_BYTES: number = SAMPLE.words * 4;

/** Below this a temperature would overflow f32, and no two different logits would tie anyway. */
const GREEDY_BELOW = 1e-6;

/**
 * Bytes of the sampler's buffers by name. All must start as zeros. `samples` [head rows, SAMPLE_BYTES] is what to read
 * back; `forced` u32 [head rows] is 0, or 1 + the id that a head row must report (scoring a prompt).
 */
export function samplerScratch(sizes: SamplerSizes): Record<string, number> {
  const blocks = sizes.maxHeadRows * samplerBlocks(sizes.vocab);
  return {
    samplerOptions: 4 * OPTIONS.words * sizes.slots,
    samplerCounts: 4 * sizes.vocab * sizes.slots,
    samplerBias: 4 * sizes.vocab * sizes.slots,
    samplerCells: 4 * SAMPLER_SCRATCH.cell * SAMPLER_BLOCK.cells * blocks,
    samplerBlocks: 4 * SAMPLER_SCRATCH.block * blocks,
    samplerWinners: 4 * SAMPLER_SCRATCH.winner * blocks,
    samplerChoices: 4 * SAMPLER_SCRATCH.choice * sizes.maxHeadRows,
    forced: 4 * sizes.maxHeadRows,
    samples: SAMPLE_BYTES * sizes.maxHeadRows,
  };
}

/** Appends the sampler: from `logits` f32 [head rows, vocab] to the `samples` buffer, and to the slots' counts. */
export function addSampler(
  program: Program,
  parts: {
    readonly sizes: SamplerSizes;
    readonly steps: StepBuffers;
    /** Buffers of the sizes that `samplerScratch` names. */
    readonly scratch: Scratch;
    readonly logits: Bound;
  },
): void {
  const { vocab } = parts.sizes;
  const { step, rows, segments, heads } = parts.steps;
  const buffer = (name: string) => named(parts.scratch, name);
  const { logits } = parts;
  const options = buffer("samplerOptions");
  const counts = buffer("samplerCounts");
  const cells = buffer("samplerCells");
  const blocks = buffer("samplerBlocks");
  const choices = buffer("samplerChoices");
  const winners = buffer("samplerWinners");
  const samples = buffer("samples");
  const common = { step, rows, segments, heads, options, logits, counts };
  const reads = { ...common, bias: buffer("samplerBias") };
  program.add(
    samplerScan(vocab),
    { ...reads, cells, blocks },
    (shape) => samplerBlockGrid(shape, vocab),
  );
  program.add(samplerSelect(vocab), { ...reads, cells, blocks, choices, samples }, samplerRowGrid);
  program.add(
    samplerDraw(vocab),
    { ...reads, cells, choices, winners },
    (shape) => samplerBlockGrid(shape, vocab),
  );
  program.add(
    samplerFinish(vocab),
    { ...common, choices, winners, forced: buffer("forced"), samples },
    samplerRowGrid,
  );
}

/** Fills a slot for a new sequence: its options, and the tables that they make the kernels read. */
export function writeSamplerSlot(
  queue: GPUQueue,
  target: { readonly sizes: SamplerSizes; readonly scratch: Scratch; readonly slot: number },
  value: SamplerSlot,
): void {
  const { scratch, slot } = target;
  const { vocab } = target.sizes;
  const options = packSampler(value);
  queue.writeBuffer(named(scratch, "samplerOptions"), slot * options.byteLength, options);
  const flags = options[OPTIONS.flags]!;
  if (flags & SAMPLER_FLAGS.penalised) {
    const counts = new Uint32Array(vocab);
    for (const id of value.prompt) counts[id] = IN_PROMPT;
    for (const id of value.generated) counts[id]!++;
    queue.writeBuffer(named(scratch, "samplerCounts"), slot * counts.byteLength, counts);
  }
  if (flags & SAMPLER_FLAGS.biased) {
    const bias = new Float32Array(vocab);
    for (const [id, by] of value.sampling.logitBias) bias[id] = by;
    queue.writeBuffer(named(scratch, "samplerBias"), slot * bias.byteLength, bias);
  }
}

/** One slot's options as the kernels read them. */
export function packSampler(value: SamplerSlot): Uint32Array<ArrayBuffer> {
  const { sampling } = value;
  const words = new Uint32Array(OPTIONS.words);
  const floats = new Float32Array(words.buffer);
  floats[OPTIONS.temperature] = sampling.temperature < GREEDY_BELOW ? 0 : sampling.temperature;
  floats[OPTIONS.topP] = sampling.topP;
  floats[OPTIONS.minP] = sampling.minP;
  floats[OPTIONS.presence] = sampling.presencePenalty;
  floats[OPTIONS.frequency] = sampling.frequencyPenalty;
  floats[OPTIONS.repetition] = sampling.repetitionPenalty;
  words[OPTIONS.topK] = sampling.topK;
  words[OPTIONS.seed] = sampling.seed;
  words[OPTIONS.realVocab] = value.realVocab;
  words[OPTIONS.top] = Math.min(value.top, MAX_TOP);
  const penalised = sampling.presencePenalty !== 0 || sampling.frequencyPenalty !== 0 ||
    sampling.repetitionPenalty !== 1;
  words[OPTIONS.flags] = (penalised ? SAMPLER_FLAGS.penalised : 0) |
    (sampling.logitBias.length ? SAMPLER_FLAGS.biased : 0);
  return words;
}

/** Takes head row `row` out of what was read back from `samples`. */
export function readSample(bytes: ArrayBuffer, row: number): Sample {
  const words = new Uint32Array(bytes, row * SAMPLE_BYTES, SAMPLE.words);
  const floats = new Float32Array(bytes, row * SAMPLE_BYTES, SAMPLE.words);
  return {
    id: words[SAMPLE.id]!,
    logprob: floats[SAMPLE.logprob]!,
    top: Array.from({ length: words[SAMPLE.listed]! }, (_, i) => ({
      id: words[SAMPLE.ids + i]!,
      logprob: floats[SAMPLE.logprobs + i]!,
    })),
    nan: words[SAMPLE.bad] !== 0,
  };
}

function named(scratch: Scratch, name: string): GPUBuffer {
  const buffer = scratch[name];
  if (!buffer) {
    throw new TypeError(
      `Cannot sample: buffer "${name}" is missing, wanted those of samplerScratch()`,
    );
  }
  return buffer;
}
