/** The models' part of the benchmark: verify against plain loops, then time decode, contexts, prefill and batches. @module */
import { median } from "../../runtime/median.ts";
import { snapshotSubject } from "../../runtime/forecast/subject.ts";
import type { ModelConfig } from "../../runtime/model/config.ts";
import type { OpenedEngine } from "../../runtime/open.ts";
import { readSnapshotConfig } from "../../runtime/snapshot.ts";
import { openSnapshot } from "../../weights/mod.ts";
import { complete, greedy, openTestEngine, TEST_OPTIONS } from "../engine_fixture.ts";
import type { AloneKernels } from "./alone.ts";
import type { Checkpoint } from "./checkpoints.ts";
import { type DecodeResult, timeDecode } from "./decode_rounds.ts";
import { expectedOf } from "./expected.ts";
import type { BenchOptions } from "./options.ts";
import { type Figure, isFigure, type LeftOut, type Measured, repeated } from "./timing.ts";
import { type Predictor, predictor } from "./predicted.ts";
import { weightBytesOfToken } from "./traffic.ts";
import { Workload } from "./workload.ts";

/** How a model did. All rates are tokens a second. */
export interface ModelResult {
  readonly name: string;
  /** Largest difference of a log-probability from the plain loops. */
  readonly error: number;
  readonly dispatchesPerToken: number;
  /** What `plan` counts of them. */
  readonly predictedDispatches: number;
  readonly weightBytesPerToken: number;
  readonly decode: DecodeResult;
  readonly contexts: readonly Row[];
  readonly prompts: readonly Row[];
  /** All sequences together. */
  readonly batches: readonly Row[];
}

/** A row of a table: tokens of context or prompt, or sequences. */
export interface Row {
  readonly size: number;
  readonly rate: Measured;
  /** What `plan` predicts. */
  readonly predicted: number;
  /** Of several sequences, the rate over that of one, in turn with it. */
  readonly overOne?: number;
}

/** What measuring a model takes beside it. */
export interface ModelRuns {
  readonly options: BenchOptions;
  readonly alone: AloneKernels;
  readonly software: boolean;
  readonly log: (line: string) => void;
}

const TOLERANCE = 0.01;
/** A software adapter takes the machine's memory; the plan takes no more than it needs. */
const PLENTY = "4T";
/** Room behind a context or prompt for what is decoded. */
const MARGIN = 512;

/**
 * Verifies, then times.
 * @throws {Error} if the engine's log-probabilities are not those of the plain loops
 */
export async function runModel(checkpoint: Checkpoint, runs: ModelRuns): Promise<ModelResult> {
  const { options, software } = runs;
  const { folder, name } = checkpoint;
  const expected = expectedOf(checkpoint, runs.log);
  const { config } = readSnapshotConfig(folder);
  const longest = Math.max(...wanted("context", options), ...wanted("prefill", options), 0);
  const sizes = {
    maxSequences: mostSequences(options),
    context: Math.min(config.maxPositions, longest + MARGIN),
  };
  const engine = await openTestEngine(folder, {
    vram: software ? PLENTY : null,
    // Those that are timed by themselves.
    kernels: runs.alone.variant.name,
    ...sizes,
  });
  try {
    // All resident from the first token on: paging has a measurement of its own.
    await engine.runner.pager?.loadAll();
    const { promptLogprobs } = await complete(
      engine,
      greedy(expected.tokens, { maxTokens: 0, promptLogprobs: 0 }),
    );
    const error = Math.max(
      ...expected.logprobs.map((want, i) => Math.abs(want - promptLogprobs[i]!)),
    );
    if (!(error <= TOLERANCE)) {
      throw new Error(
        `Cannot time "${name}": a log-probability is off by ${error}, wanted at most ${TOLERANCE}`,
      );
    }
    return { name, error, ...await timeModel(engine, checkpoint, config, runs) };
  } finally {
    await engine.close();
  }
}

async function timeModel(
  engine: OpenedEngine,
  { folder, realSizes, name }: Checkpoint,
  config: ModelConfig,
  { options, alone }: ModelRuns,
): Promise<Omit<ModelResult, "name" | "error">> {
  const workload = new Workload(engine, config.vocab);
  const snapshot = openSnapshot(folder);
  const tensors = [...snapshot.names()].map((name) => snapshot.tensor(name));
  snapshot.close();
  const weights = weightBytesOfToken(tensors, config);
  const subject = snapshotSubject(name, config, tensors);
  const { plan, chunkRows } = engine.runner;
  const choice = {
    ...TEST_OPTIONS,
    chunkRows,
    maxBinding: alone.gpu.maxBinding,
    maxSequences: mostSequences(options),
    context: plan.contextLength,
  };
  const predicted = await predictor({ subject, choice, plan }, alone);
  const decode = await timeDecode(workload, { ...options, alone, weights, config, realSizes });
  return {
    decode: { ...decode, predicted: predicted.decode(1, 0) },
    ...await timeRows(workload, options, { decode, predicted, longest: plan.contextLength }),
    dispatchesPerToken: await workload.dispatches(),
    predictedDispatches: predicted.dispatches,
    weightBytesPerToken: weights,
  };
}

/** Contexts, prompts and batches. */
async function timeRows(
  workload: Workload,
  options: BenchOptions,
  { decode, predicted, longest }: {
    /** What was measured of one sequence without context. */
    readonly decode: Figure;
    readonly predicted: Predictor;
    readonly longest: number;
  },
): Promise<Pick<ModelResult, "contexts" | "prompts" | "batches">> {
  const beyond = (tokens: number): LeftOut | null =>
    tokens + MARGIN / 2 > longest
      ? { leftOut: `the model or its cache holds ${longest} tokens` }
      : null;
  const [contexts, prompts, batches]: Row[][] = [[], [], []];
  for (const size of wanted("context", options)) {
    const rate = size === 0 ? decode : beyond(size) ??
      await repeated(options, () => workload.decodeAfter(size));
    contexts!.push({ size, rate, predicted: predicted.decode(1, size).value });
  }
  // A token of the last prompt; of the first one as predicted.
  let seconds = 1 / predicted.prefill(options.prompts[0]!).value;
  for (const size of wanted("prefill", options)) {
    const time = beyond(size) ??
      await repeated({ ...options, expected: size * seconds }, () => workload.prefill(size));
    if (isFigure(time)) seconds = time.value / size;
    const rate = isFigure(time) ? { ...time, value: size / time.value } : time;
    prompts!.push({ size, rate, predicted: predicted.prefill(size).value });
  }
  for (const size of wanted("batch", options)) {
    const value = predicted.decode(size, 0).value;
    if (size === 1) batches!.push({ size, rate: decode, predicted: value });
    else {
      const expected = workload.stepsOf(size) * size / value;
      const batch = await timeBatch(workload, { ...options, expected }, size);
      batches!.push({ size, ...batch, predicted: value });
    }
  }
  return { contexts: contexts!, prompts: prompts!, batches: batches! };
}

/** So many sequences together, each run between two of one alone: whoever else uses the machine slows all of them. */
async function timeBatch(
  workload: Workload,
  limits: Parameters<typeof repeated>[0],
  size: number,
): Promise<Pick<Row, "rate" | "overOne">> {
  const ratios: number[] = [];
  let before = NaN;
  const rate = await repeated(limits, async () => {
    if (Number.isNaN(before)) before = await workload.decode(1);
    const many = await workload.decode(size);
    const after = await workload.decode(1);
    ratios.push(many * (1 / before + 1 / after) / 2);
    before = after;
    return many;
  });
  return { rate, ...(ratios.length > 0 ? { overOne: median(ratios) } : {}) };
}

function mostSequences(options: BenchOptions): number {
  return Math.max(...wanted("batch", options), 1);
}

/** The sizes to run of a part; none where it is left out. */
function wanted(part: "context" | "prefill" | "batch", options: BenchOptions): readonly number[] {
  if (!options.parts.has(part)) return [];
  return { context: options.contexts, prefill: options.prompts, batch: options.batches }[part];
}
