/** The models' part of the benchmark: verify against plain loops, then time decode, prefill and a batch. @module */
import { readSnapshotConfig } from "../../runtime/snapshot.ts";
import type { OpenedEngine } from "../../runtime/open.ts";
import { openSnapshot } from "../../weights/mod.ts";
import { complete, greedy, openTestEngine } from "../engine_fixture.ts";
import { integers } from "../pattern.ts";
import { median } from "./bench.ts";
import { ceilingsNow } from "./ceilings.ts";
import type { Checkpoint } from "./checkpoints.ts";
import { expectedOf } from "./expected.ts";
import { type KernelReport, MATRICES } from "./kernels.ts";
import { kernelSeconds, weightBytesOfToken } from "./traffic.ts";

/** One model's line. */
export interface ModelResult {
  readonly name: string;
  /** Largest difference of a log-probability from the plain loops. */
  readonly error: number;
  readonly decodeTokensPerSecond: number;
  /** All together, `BATCH` sequences at once. */
  readonly batchTokensPerSecond: number;
  readonly prefillTokensPerSecond: number;
  readonly dispatchesPerToken: number;
  readonly weightBytesPerToken: number;
  /** Of weights, while decoding one sequence. */
  readonly gigabytesPerSecond: number;
  /** That rate over those of the kernels that only copy and only read, measured right after it. */
  readonly ofCopy: number;
  readonly ofRead: number;
  /** Time of the kernels by themselves over the time of a token; real sizes only. */
  readonly ofKernels?: number;
}

/** How much is run. */
export interface ModelRuns {
  /** Repetitions of each measurement. */
  readonly runs: number;
  /** What the kernels reach by themselves, where they were measured. */
  readonly kernels: KernelReport | null;
  readonly log: (line: string) => void;
}

/** Sequences that decode together. */
export const BATCH = 8;
/** Tokens of the prompts that are timed. */
export const PROMPT = 64;
const DECODED = 5;
const TOLERANCE = 0.01;

/**
 * Verifies, then times.
 * @throws {Error} if the engine's log-probabilities are not those of the plain loops
 */
export async function runModel(checkpoint: Checkpoint, options: ModelRuns): Promise<ModelResult> {
  const { folder, name, realSizes } = checkpoint;
  const expected = expectedOf(checkpoint, options.log);
  const { config } = readSnapshotConfig(folder);
  const engine = await openTestEngine(folder, {
    vram: "5G",
    maxSequences: BATCH,
    context: 512,
    stateCacheBytes: 0,
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
    const workload = new Workload(engine, config.vocab);
    const decode = await repeated(options.runs, () => workload.decode(1));
    const ceilings = await ceilingsNow(options.runs);
    const batch = await repeated(options.runs, () => workload.decode(BATCH));
    const prefill = await repeated(options.runs, () => workload.prefill());
    const snapshot = openSnapshot(folder);
    const tensors = [...snapshot.names()].map((name) => snapshot.tensor(name));
    const bytes = weightBytesOfToken(tensors, config);
    snapshot.close();
    const { kernels } = options;
    return {
      name,
      error,
      decodeTokensPerSecond: 1 / decode,
      batchTokensPerSecond: BATCH / batch,
      prefillTokensPerSecond: PROMPT / prefill,
      dispatchesPerToken: await workload.dispatches(),
      weightBytesPerToken: bytes,
      gigabytesPerSecond: bytes / decode / 1e9,
      ofCopy: bytes / decode / ceilings.copy,
      ofRead: bytes / decode / ceilings.read,
      ...(kernels && realSizes
        ? { ofKernels: kernelSeconds(kernels, config, MATRICES.head.n) / decode }
        : {}),
    };
  } finally {
    await engine.close();
  }
}

/** Prompts that no earlier one is a prefix of, and the time they take. */
class Workload {
  readonly #engine: OpenedEngine;
  readonly #vocab: number;
  #salt = 100;

  constructor(engine: OpenedEngine, vocab: number) {
    this.#engine = engine;
    this.#vocab = vocab;
  }

  /** Median seconds of a step that decodes `sequences` sequences together. */
  async decode(sequences: number): Promise<number> {
    const times: number[][] = [];
    await Promise.all(Array.from({ length: sequences }, () => {
      const own: number[] = [];
      times.push(own);
      return this.#run(8, 2 + DECODED, () => own.push(performance.now()));
    }));
    // The first tokens come while other prompts are still computed.
    const last = times.map((own) => own.slice(-DECODED));
    return median(last.flatMap((own) => own.slice(1).map((time, i) => time - own[i]!)));
  }

  /** Seconds from a prompt to its first token. */
  async prefill(): Promise<number> {
    const start = performance.now();
    let first = NaN;
    await this.#run(PROMPT, 1, () => first = performance.now());
    return first - start;
  }

  /** Dispatches of a step that decodes one token. */
  async dispatches(): Promise<number> {
    const counts: number[] = [];
    await this.#run(4, 3, () => counts.push(this.#engine.counters().values.dispatches!));
    return counts[2]! - counts[1]!;
  }

  async #run(promptTokens: number, maxTokens: number, onToken: () => void): Promise<void> {
    const salt = this.#salt++;
    const request = greedy([...integers(promptTokens, this.#vocab, salt)], { maxTokens });
    const sampling = { ...request.sampling, temperature: 1, seed: salt };
    await complete(this.#engine, { ...request, sampling }, (event) => {
      if (event.type === "token") onToken();
    });
  }
}

/** Median seconds of several runs of something that answers in milliseconds. */
async function repeated(runs: number, once: () => Promise<number>): Promise<number> {
  const results: number[] = [];
  for (let run = 0; run < runs; run++) results.push(await once());
  return median(results) / 1000;
}
