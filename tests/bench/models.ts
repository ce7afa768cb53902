/** The models' part of the benchmark: verify against plain loops, then time decode, contexts, prefill and batches. @module */
import type { ModelConfig } from "../../runtime/model/config.ts";
import type { OpenedEngine } from "../../runtime/open.ts";
import { readSnapshotConfig } from "../../runtime/snapshot.ts";
import { openSnapshot } from "../../weights/mod.ts";
import { complete, greedy, openTestEngine, TEST_OPTIONS } from "../engine_fixture.ts";
import type { AloneKernels } from "./alone.ts";
import type { Checkpoint } from "./checkpoints.ts";
import { expectedOf } from "./expected.ts";
import type { BenchOptions } from "./options.ts";
import { type Predicted, predictedOf } from "./predicted.ts";
import { type Figure, isFigure, type LeftOut, type Measured, median, repeated } from "./timing.ts";
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
  /** What the calculator says of this machine and this engine. */
  readonly predicted: Predicted;
}

/** A row of a table: tokens of context or prompt, or sequences. */
export interface Row {
  readonly size: number;
  readonly rate: Measured;
}

/** One sequence with next to no context. */
export interface DecodeResult extends Figure {
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
    maxSequences: Math.max(...wanted("batch", options), 1),
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
    const times = await timeModel(engine, checkpoint, config, runs);
    const settings = { ...TEST_OPTIONS, ...sizes, model: folder };
    return { name, error, ...times, predicted: await predictedOf(engine, settings, times.prompts) };
  } finally {
    await engine.close();
  }
}

async function timeModel(
  engine: OpenedEngine,
  { folder, realSizes }: Checkpoint,
  config: ModelConfig,
  { options, alone }: ModelRuns,
): Promise<Omit<ModelResult, "name" | "error" | "predicted">> {
  const workload = new Workload(engine, config.vocab);
  const snapshot = openSnapshot(folder);
  const tensors = [...snapshot.names()].map((name) => snapshot.tensor(name));
  const weights = weightBytesOfToken(tensors, config);
  snapshot.close();
  const decode = await timeDecode(workload, { ...options, alone, weights, config, realSizes });
  const beyond = (tokens: number): LeftOut | null =>
    tokens + MARGIN / 2 > engine.info.contextLength
      ? { leftOut: `the model or its cache holds ${engine.info.contextLength} tokens` }
      : null;
  const rows = async (sizes: readonly number[], time: (size: number) => Promise<Measured>) => {
    const list: Row[] = [];
    for (const size of sizes) list.push({ size, rate: await time(size) });
    return list;
  };
  const contexts = await rows(
    wanted("context", options),
    async (size) => beyond(size) ?? await repeated(options, () => workload.decodeAfter(size)),
  );
  let seconds = 0; // a token of the last prompt
  const prompts = await rows(wanted("prefill", options), async (size) => {
    const expected = size * seconds;
    const time = beyond(size) ??
      await repeated({ ...options, expected }, () => workload.prefill(size));
    if (isFigure(time)) seconds = time.value / size;
    return isFigure(time) ? { ...time, value: size / time.value } : time;
  });
  const batches = await rows(
    wanted("batch", options),
    (size) => repeated(options, () => workload.decode(size)),
  );
  const dispatchesPerToken = await workload.dispatches();
  return { decode, contexts, prompts, batches, dispatchesPerToken, weightBytesPerToken: weights };
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
): Promise<DecodeResult> {
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

/** The sizes to run of a part; none where it is left out. */
function wanted(part: "context" | "prefill" | "batch", options: BenchOptions): readonly number[] {
  if (!options.parts.has(part)) return [];
  return { context: options.contexts, prefill: options.prompts, batch: options.batches }[part];
}
