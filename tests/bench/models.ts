/** The models' part of the benchmark: verify against plain loops, then time decode, contexts, prefill and batches. @module */
import type { Derived } from "../../runtime/forecast/derived.ts";
import { snapshotSubject } from "../../runtime/forecast/subject.ts";
import type { ModelConfig } from "../../runtime/model/config.ts";
import type { OpenedEngine } from "../../runtime/open.ts";
import { readSnapshotConfig } from "../../runtime/snapshot.ts";
import { openSnapshot } from "../../weights/mod.ts";
import { complete, greedy, openTestEngine, TEST_OPTIONS } from "../engine_fixture.ts";
import type { AloneKernels } from "./alone.ts";
import type { Checkpoint } from "./checkpoints.ts";
import { expectedOf } from "./expected.ts";
import type { BenchOptions } from "./options.ts";
import { type Figure, isFigure, type LeftOut, type Measured, median, repeated } from "./timing.ts";
import { type Predictor, predictor } from "./predicted.ts";
import { headSeconds, kernelSeconds, weightBytesOfToken } from "./traffic.ts";
import { Workload } from "./workload.ts";

/** How a model did. All rates are tokens a second. */
export interface ModelResult {
  readonly name: string;
  /** Largest difference of a log-probability from the plain loops. */
  readonly error: number;
  readonly dispatchesPerToken: number;
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
}

/** One sequence with next to no context. */
export interface DecodeResult extends Figure {
  /** What `plan` predicts, with its formula. */
  readonly predicted: Derived;
  /** Bytes of weights a second. */
  readonly weights: number;
  /** That over the rates of the kernels that only read and only copy, in turn with it. */
  readonly ofRead: number;
  readonly ofCopy: number;
  /** Of the kernels of a token by themselves, in turn with it; only for matrices of 35B-A3B. */
  readonly alone?: {
    /** Their time over that of a token. */
    readonly share: number;
    /** Seconds of the head. */
    readonly head: number;
  };
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
  const engine = await openTestEngine(folder, { vram: software ? PLENTY : null, ...sizes });
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
  const predicted = await predictor({ subject, choice, plan }, alone.gpu);
  const decode = await timeDecode(workload, { ...options, alone, weights, config, realSizes });
  return {
    decode: { ...decode, predicted: predicted.decode(1, 0) },
    ...await timeRows(workload, options, { predicted, longest: plan.contextLength }),
    dispatchesPerToken: await workload.dispatches(),
    weightBytesPerToken: weights,
  };
}

/** Contexts, prompts and batches. */
async function timeRows(
  workload: Workload,
  options: BenchOptions,
  { predicted, longest }: { readonly predicted: Predictor; readonly longest: number },
): Promise<Pick<ModelResult, "contexts" | "prompts" | "batches">> {
  const beyond = (tokens: number): LeftOut | null =>
    tokens + MARGIN / 2 > longest
      ? { leftOut: `the model or its cache holds ${longest} tokens` }
      : null;
  const [contexts, prompts, batches]: Row[][] = [[], [], []];
  for (const size of wanted("context", options)) {
    const rate = beyond(size) ?? await repeated(options, () => workload.decodeAfter(size));
    contexts!.push({ size, rate, predicted: predicted.decode(1, size).value });
  }
  let seconds = 0; // a token of the last prompt
  for (const size of wanted("prefill", options)) {
    const time = beyond(size) ??
      await repeated({ ...options, expected: size * seconds }, () => workload.prefill(size));
    if (isFigure(time)) seconds = time.value / size;
    const rate = isFigure(time) ? { ...time, value: size / time.value } : time;
    prompts!.push({ size, rate, predicted: predicted.prefill(size).value });
  }
  for (const size of wanted("batch", options)) {
    const rate = await repeated(options, () => workload.decode(size));
    batches!.push({ size, rate, predicted: predicted.decode(size, 0).value });
  }
  return { contexts: contexts!, prompts: prompts!, batches: batches! };
}

/** Each run decodes, then times the kernels by themselves: whoever else uses the machine slows both. */
async function timeDecode(
  workload: Workload,
  { runs, alone, weights, config, realSizes }: {
    readonly runs: number;
    readonly alone: AloneKernels;
    readonly weights: number;
    readonly config: ModelConfig;
    readonly realSizes: boolean;
  },
): Promise<Omit<DecodeResult, "predicted">> {
  const rounds: { rate: number; share: number; head: number; read: number; copy: number }[] = [];
  for (let run = 0; run < runs; run++) {
    const rate = await workload.decode(1);
    const { seconds, read, copy } = await alone.round();
    const share = rate * kernelSeconds(seconds, config);
    rounds.push({ rate, share, head: headSeconds(seconds, config), read, copy });
  }
  const middle = (value: (round: typeof rounds[number]) => number) => median(rounds.map(value));
  return {
    value: middle(({ rate }) => rate),
    runs,
    weights: weights * middle(({ rate }) => rate),
    ofRead: middle(({ rate, read }) => weights * rate / read),
    ofCopy: middle(({ rate, copy }) => weights * rate / copy),
    ...(realSizes && {
      alone: { share: middle(({ share }) => share), head: middle(({ head }) => head) },
    }),
  };
}

function mostSequences(options: BenchOptions): number {
  return Math.max(...wanted("batch", options), 1);
}

/** The sizes to run of a part; none where it is left out. */
function wanted(part: "context" | "prefill" | "batch", options: BenchOptions): readonly number[] {
  if (!options.parts.has(part)) return [];
  return { context: options.contexts, prefill: options.prompts, batch: options.batches }[part];
}
