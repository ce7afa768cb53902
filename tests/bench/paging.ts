/** The paging part of the benchmark: fewer slots than experts against all resident, and what a replay predicts. @module */
import { type RoutingTrace, TraceRecorder } from "../../runtime/experts/trace.ts";
import { TextModel } from "../../runtime/mod.ts";
import type { OpenedEngine } from "../../runtime/open.ts";
import { replayTrace, slotsFor } from "../../runtime/replay/replay.ts";
import { readSnapshotConfig } from "../../runtime/snapshot.ts";
import { assertEquals } from "@std/assert";
import { complete, type Completion, greedy, openTestEngine } from "../engine_fixture.ts";
import { integers } from "../pattern.ts";
import { budgetFor } from "./budgets.ts";
import type { Checkpoint } from "./checkpoints.ts";
import { median } from "../../runtime/median.ts";

/** A model under several budgets. */
export interface PagingResult {
  readonly name: string;
  readonly experts: number;
  readonly prompts: number;
  readonly tokens: number;
  readonly rows: readonly PagingRow[];
}

/** One budget. */
export interface PagingRow {
  readonly slots: number;
  readonly budget: number;
  /** Over all prompts from a cold start, prompts and answers together. */
  readonly hitRate: number;
  /** What the replay of the recorded routing says of it. */
  readonly predictedHitRate: number;
  /** Loaded in that time, and what the replay says. */
  readonly bytes: number;
  readonly predictedBytes: number;
  /** Tokens a second of the answers, prompts left out, with warm slots. */
  readonly rate: number;
  /** The same with all experts resident, in turn with it. */
  readonly residentRate: number;
}

/** How much is run. */
export interface PagingRuns {
  /** Slots as percentages of the experts. */
  readonly budgets: readonly number[];
  readonly runs: number;
  readonly maxBinding: number;
}

const CONTEXT = 1024;
const OPTIONS = { maxSequences: 1, context: CONTEXT, stateCacheBytes: 0 };
const QUESTIONS = [
  "What is 17 + 25?",
  "Who are you?",
  "List three colours.",
  "Sort these numbers: 9, 4, 7, 1.",
  "Say hello in French.",
  "What is 8 + 64? Think first.",
];
/** Tokens of an answer, and of the random prompt where there is no text. */
const LENGTHS = { small: 48, real: 12, prompt: 64 };

/**
 * Verifies that budgets change no token, then times them in turn with all experts resident.
 * @throws {Error} if a token or log-probability differs
 */
export async function runPaging(checkpoint: Checkpoint, runs: PagingRuns): Promise<PagingResult> {
  const { folder, name, realSizes } = checkpoint;
  const { config: { mlp, vocab } } = readSnapshotConfig(folder);
  if (mlp.kind === "dense") throw new RangeError(`Cannot page "${name}": it has no experts`);
  const prompts = realSizes ? [[...integers(LENGTHS.prompt, vocab, 5)]] : await questions(folder);
  const maxTokens = realSizes ? LENGTHS.real : LENGTHS.small;
  const work = { folder, prompts, maxTokens };
  const trace = await record(work, runs);
  const rows: PagingRow[] = [];
  const resident = await open(folder, mlp.experts, runs);
  try {
    await resident.runner.pager?.loadAll();
    const want = await answer(resident, work);
    for (const percentage of runs.budgets) {
      const slots = slotsFor(trace, percentage / 100);
      rows.push(await runBudget({ resident, want: want.answers, trace, slots }, work, runs));
    }
  } finally {
    await resident.close();
  }
  const tokens = prompts.reduce((sum, prompt) => sum + prompt.length + maxTokens, 0);
  return { name, experts: mlp.experts, prompts: prompts.length, tokens, rows };
}

interface Work {
  readonly folder: string;
  readonly prompts: readonly (readonly number[])[];
  readonly maxTokens: number;
}

async function runBudget(
  { resident, want, trace, slots }: {
    readonly resident: OpenedEngine;
    readonly want: readonly Completion[];
    readonly trace: RoutingTrace;
    readonly slots: number;
  },
  work: Work,
  runs: PagingRuns,
): Promise<PagingRow> {
  const engine = await open(work.folder, slots, runs);
  try {
    const cold = await answer(engine, work);
    assertEquals(cold.answers, want, `${slots} slots a layer change what the model says`);
    const { hits, misses, bytes } = engine.counters().values as Record<string, number>;
    const rates: [paged: number, resident: number][] = [];
    for (let run = 0; run < runs.runs; run++) {
      rates.push([(await answer(engine, work)).rate, (await answer(resident, work)).rate]);
    }
    const predicted = await replayTrace(trace, { policy: "lru", slots });
    return {
      slots,
      budget: engine.runner.plan.budget,
      hitRate: hits! / (hits! + misses!),
      predictedHitRate: predicted.hitRate,
      bytes: bytes!,
      predictedBytes: predicted.counters.misses * bytes! / misses!,
      rate: median(rates.map(([paged]) => paged)),
      residentRate: median(rates.map(([, resident]) => resident)),
    };
  } finally {
    await engine.close();
  }
}

/** The routing of all prompts, as an engine with few slots sees it. */
async function record(work: Work, runs: PagingRuns): Promise<RoutingTrace> {
  const { config: { layers, mlp } } = readSnapshotConfig(work.folder);
  if (mlp.kind === "dense") throw new RangeError("Cannot record routing: there are no experts");
  const { experts, topK } = mlp;
  const recorder = new TraceRecorder({ model: work.folder, layers, experts, topK });
  const engine = await open(work.folder, Math.ceil(experts / 2), runs, recorder);
  try {
    await answer(engine, work);
  } finally {
    await engine.close();
  }
  return recorder.trace();
}

async function open(
  folder: string,
  slots: number,
  { maxBinding }: PagingRuns,
  recorder?: TraceRecorder,
): Promise<OpenedEngine> {
  const vram = String(budgetFor(folder, slots, { ...OPTIONS, maxBinding }));
  const hooks = recorder ? { onRoute: recorder.onRoute } : {};
  const engine = await openTestEngine(folder, { ...OPTIONS, vram }, hooks);
  const found = engine.runner.plan.expertSlots;
  if (found === slots) return engine;
  await engine.close();
  throw new Error(`Cannot page with ${slots} slots: the budget that should do plans ${found}`);
}

/** Answers every prompt, greedily; `rate` leaves out prompts and first tokens. */
async function answer(
  engine: OpenedEngine,
  { prompts, maxTokens }: Work,
): Promise<{ readonly answers: readonly Completion[]; readonly rate: number }> {
  const answers: Completion[] = [];
  let ms = 0;
  for (const prompt of prompts) {
    const times: number[] = [];
    answers.push(
      await complete(engine, greedy(prompt, { maxTokens }), ({ type }) => {
        if (type === "token") times.push(performance.now());
      }),
    );
    ms += times.at(-1)! - times[0]!;
  }
  return { answers, rate: prompts.length * (maxTokens - 1) / ms * 1000 };
}

async function questions(folder: string): Promise<readonly (readonly number[])[]> {
  const text = await TextModel.load(folder);
  return QUESTIONS.map((content) => text.encodeChat([{ role: "user", content }]).ids);
}
