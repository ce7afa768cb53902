/** Runs the sampler's four kernels one after another over rows that each have their own options. @module */
import { OPTIONS, SAMPLE, SAMPLER_FLAGS, SAMPLER_SCRATCH } from "../../shaders/sampler/layout.ts";
import type { NaiveOptions } from "../../shaders/sampler/naive.ts";
import {
  samplerBlocks,
  samplerDraw,
  samplerFinish,
  samplerScan,
  samplerSelect,
} from "../../shaders/sampler/sampler.ts";
import { runKernel } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";

/** Options that change nothing. */
export const NEUTRAL: NaiveOptions = {
  temperature: 1,
  topP: 1,
  minP: 0,
  topK: 0,
  presence: 0,
  frequency: 0,
  repetition: 1,
  seed: 0,
  realVocab: 2 ** 31,
  top: 0,
};

/** One head row of a test. */
export interface SamplerRow {
  readonly logits: Float32Array<ArrayBuffer>;
  readonly options: NaiveOptions;
  readonly position: number;
  readonly forced?: number;
}

/** What the kernels made of one row. */
export interface SampledRow {
  readonly id: number;
  readonly logprob: number;
  readonly bad: boolean;
  readonly top: readonly { readonly id: number; readonly logprob: number }[];
  /** The lowest adjusted logit that could be drawn. */
  readonly threshold: number;
  /** The slot's counts afterwards. */
  readonly counts: Uint32Array;
  /** All words of the sample, for comparison bit by bit. */
  readonly words: Uint32Array;
}

/** `length` logits with a few high ones: standard deviation about 2.5, the highest near 12. */
export function testLogits(length: number, salt: number): Float32Array<ArrayBuffer> {
  return pattern(length, salt).map((x, id) => 4 * x + (id % 97 === salt % 97 ? 8 * x * x : 0));
}

/** Samples `rows`, each in a segment and a slot of its own. */
export async function runSampler(rows: readonly SamplerRow[]): Promise<SampledRow[]> {
  const vocab = rows[0]!.logits.length;
  const blocks = samplerBlocks(vocab) * rows.length;
  const { step, rows: list, segments } = stepBuffers(
    rows.map((row, i) => ({ rows: 1, context: row.position, sampler: i })),
  );
  const counts = new Uint32Array(vocab * rows.length);
  const bias = new Float32Array(vocab * rows.length);
  const logits = new Float32Array(vocab * rows.length);
  rows.forEach((row, i) => {
    logits.set(row.logits, i * vocab);
    counts.set(Array.from(row.options.counts ?? []), i * vocab);
    bias.set(Array.from(row.options.bias ?? []), i * vocab);
  });
  const reads = {
    step,
    rows: list,
    segments,
    heads: Uint32Array.from(rows, (_, i) => i),
    options: packed(rows),
    logits,
    bias,
  };
  const grid = [samplerBlocks(vocab), rows.length + 1, 1] as const;
  const words = (name: keyof typeof SAMPLER_SCRATCH, n: number) => ({
    out: SAMPLER_SCRATCH[name] * n,
  });
  const scanned = await runKernel(
    samplerScan(vocab),
    { ...reads, counts, cells: words("cell", blocks * 64), blocks: words("block", blocks) },
    grid,
  );
  const cells = scanned.cells!;
  const selected = await runKernel(
    samplerSelect(vocab),
    {
      ...reads,
      counts,
      cells,
      blocks: scanned.blocks!,
      choices: words("choice", rows.length),
      samples: { out: SAMPLE.words * rows.length },
    },
    [rows.length + 1, 1, 1],
  );
  const choices = selected.choices!;
  const drawn = await runKernel(
    samplerDraw(vocab),
    { ...reads, counts, cells, choices, winners: words("winner", blocks) },
    grid,
  );
  const { bias: _, ...rest } = reads;
  const finished = await runKernel(
    samplerFinish(vocab),
    {
      ...rest,
      choices,
      winners: drawn.winners!,
      forced: Uint32Array.from(rows, (row) => row.forced === undefined ? 0 : row.forced + 1),
      counts,
      samples: selected.samples!,
    },
    [rows.length + 1, 1, 1],
  );
  return rows.map((_, i) => unpacked({ ...finished, choices }, i, vocab));
}

function unpacked(
  finished: Record<string, Float32Array<ArrayBuffer>>,
  row: number,
  vocab: number,
): SampledRow {
  const floats = finished.samples!.slice(row * SAMPLE.words, (row + 1) * SAMPLE.words);
  const words = new Uint32Array(floats.buffer);
  return {
    id: words[SAMPLE.id]!,
    logprob: floats[SAMPLE.logprob]!,
    bad: words[SAMPLE.bad] === 1,
    top: Array.from({ length: words[SAMPLE.listed]! }, (_, i) => ({
      id: words[SAMPLE.ids + i]!,
      logprob: floats[SAMPLE.logprobs + i]!,
    })),
    threshold: thresholdOf(
      new Uint32Array(finished.choices!.buffer)[row * SAMPLER_SCRATCH.choice]!,
    ),
    counts: new Uint32Array(finished.counts!.buffer).slice(row * vocab, (row + 1) * vocab),
    words,
  };
}

/** The float of an ordered key; 0 is below all. */
function thresholdOf(key: number): number {
  if (key === 0) return -Infinity;
  const bits = key >= 2 ** 31 ? key - 2 ** 31 : ~key;
  return new Float32Array(new Int32Array([bits]).buffer)[0]!;
}

function packed(rows: readonly SamplerRow[]): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(rows.length * OPTIONS.words);
  const floats = new Float32Array(words.buffer);
  rows.forEach(({ options }, row) => {
    for (const name of Object.keys(OPTIONS) as (keyof typeof OPTIONS)[]) {
      if (name === "words" || name === "flags") continue;
      const whole = ["topK", "seed", "realVocab", "top"].includes(name);
      (whole ? words : floats)[row * OPTIONS.words + OPTIONS[name]] = options[name];
    }
    words[row * OPTIONS.words + OPTIONS.flags] = (options.counts ? SAMPLER_FLAGS.penalised : 0) |
      (options.bias ? SAMPLER_FLAGS.biased : 0);
  });
  return words;
}
