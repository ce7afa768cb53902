/**
 * Whether fetching experts ahead could pay: the router of layer l is run on what layer l - distance routed from, and
 * its choice is compared with the real one. Distance 0 is the control: it must read 100 %.
 *
 *     deno run -A tests/lookahead.ts SNAPSHOT [prompts.jsonl]
 *
 * A line of prompts is an array of token ids or an object with `tokens`; the longest one is taken. Without a file it is
 * the snapshot's expect.jsonl, or else what the model itself answers to a few questions.
 *
 * @module
 */
import { exitCode } from "../runtime/command_line.ts";
import { readSnapshotConfig } from "../runtime/snapshot.ts";
import { matmulNaive } from "../shaders/matmul/naive.ts";
import { moeRouteNaive } from "../shaders/moe_route/naive.ts";
import { rmsNormNaive } from "../shaders/rms_norm/naive.ts";
import { type ModelConfig, parseConfig } from "../runtime/model/config.ts";
import { emptyState, naiveForward, type NaiveModel } from "../runtime/model/naive.ts";
import { NaiveWeights } from "../runtime/model/naive_weights.ts";
import { layerPrefix, textPrefix } from "../runtime/model/names.ts";
import { TextModel } from "../runtime/mod.ts";
import { openSnapshot } from "../weights/mod.ts";
import { complete, greedy, openTestEngine } from "./engine_fixture.ts";

/** How good a guess is; shares of 1. */
export interface Recall {
  /** Layers between the input that is looked at and the router that is guessed. */
  readonly distance: number;
  /** Of all chosen experts. */
  readonly all: number;
  /** Of the experts that per-layer LRU with half of them as slots does not hold, row by row: those are what a prefetch is for. */
  readonly missing: number;
}

/** What a snapshot and its prompts come to. */
export interface Lookahead {
  readonly recalls: readonly Recall[];
  /** Stops and loads of LRU with half of the experts as slots, row by row: on demand alone, and with a guess at each stop. */
  readonly onDemand: Paging;
  readonly guessing: Paging;
  /** Of a row's experts those that the row before had, in the same layer. */
  readonly repeated: number;
  /** Of a row's experts those that a blind guess finds: topK / experts. */
  readonly chance: number;
}

/** What paging costs. */
export interface Paging {
  /** Layers of rows that had to wait. */
  readonly stops: number;
  readonly loads: number;
}

/** Experts per layer and row: ids [rows][topK]. */
type Choices = readonly (readonly number[])[];

const MOST_AHEAD = 3;

/** Measures one prompt. @throws {RangeError} for a dense model */
export function measureLookahead(model: NaiveModel, tokens: readonly number[]): Lookahead {
  const { config } = model;
  if (config.mlp.kind === "dense") throw new RangeError("Cannot look ahead: the model is dense");
  const inputs: Float64Array[] = [];
  const chosen: Choices[] = [];
  const onRoute = (_: number, h: Float64Array, ids: Uint32Array) => {
    inputs.push(h);
    chosen.push(byRow(config, ids));
  };
  naiveForward({ ...model, onRoute }, tokens, emptyState(config));
  const guessOf = (distance: number) =>
    inputs.slice(0, inputs.length - distance)
      .map((h, layer) => routed(model, layer + distance, h));
  const onDemand = page(config, chosen, []);
  const recalls = Array.from(
    { length: Math.min(MOST_AHEAD, config.layers - 1) + 1 },
    (_, distance) => {
      const share = (wanted: readonly Choices[]) =>
        found(guessOf(distance), wanted.slice(distance));
      return { distance, all: share(chosen), missing: share(onDemand.missing) };
    },
  );
  const before = chosen.map((rows) => rows.slice(0, -1));
  const { topK, experts } = config.mlp;
  return {
    recalls,
    onDemand,
    guessing: page(config, chosen, guessOf(1)),
    repeated: found(before, chosen.map((rows) => rows.slice(1))),
    chance: topK / experts,
  };
}

/** What the router of `layer` makes of h, under its own norm. */
function routed({ config, weights }: NaiveModel, layer: number, h: Float64Array): Choices {
  if (config.mlp.kind === "dense") return [];
  const at = layerPrefix(textPrefix((name) => weights.dtypeOf(name)), layer);
  const gain = weights.values(`${at}post_attention_layernorm.weight`);
  const x = rmsNormNaive(h, gain, config.hidden, config.rmsEps);
  const router = weights.stacked([`${at}mlp.gate.weight`, `${at}mlp.shared_expert_gate.weight`]);
  const { ids } = moeRouteNaive(matmulNaive(x, router, config.hidden), config.mlp);
  return byRow(config, ids);
}

function byRow({ mlp }: ModelConfig, ids: Uint32Array): Choices {
  const topK = mlp.kind === "dense" ? 1 : mlp.topK;
  return Array.from({ length: ids.length / topK }, (_, row) => [
    ...ids.subarray(row * topK, (row + 1) * topK),
  ]);
}

/**
 * Decodes the rows one by one with half of the experts as slots. Where a layer stops, the experts that `guesses`
 * expects in the next layer are loaded too.
 */
function page(
  config: ModelConfig,
  chosen: readonly Choices[],
  guesses: readonly Choices[],
): Paging & { readonly missing: readonly Choices[] } {
  const { experts, topK } = config.mlp as { readonly experts: number; readonly topK: number };
  const slots = Math.max(topK, Math.floor(experts / 2));
  const resident = chosen.map((): readonly number[] => []); // most recently used last
  const missing: number[][][] = chosen.map(() => []);
  let stops = 0;
  let loads = 0;
  for (let row = 0; row < chosen[0]!.length; row++) {
    for (const [layer, rows] of chosen.entries()) {
      const needed = rows[row]!;
      const absent = needed.filter((id) => !resident[layer]!.includes(id));
      missing[layer]!.push(absent);
      resident[layer] = [...without(resident[layer]!, needed), ...needed].slice(-slots);
      if (absent.length === 0) continue;
      stops++;
      const next = resident[layer + 1] ?? [];
      const ahead = without(guesses[layer]?.[row] ?? [], next);
      loads += absent.length + ahead.length;
      if (ahead.length > 0) resident[layer + 1] = [...next, ...ahead].slice(-slots);
    }
  }
  return { stops, loads, missing };
}

function without(ids: readonly number[], others: readonly number[]): number[] {
  return ids.filter((id) => !others.includes(id));
}

/** Share of the wanted experts that are among the guessed ones of the same row. */
function found(guessed: readonly Choices[], wanted: readonly Choices[]): number {
  let hits = 0;
  let total = 0;
  wanted.forEach((rows, layer) =>
    rows.forEach((ids, row) => {
      hits += ids.filter((id) => guessed[layer]![row]!.includes(id)).length;
      total += ids.length;
    })
  );
  return total === 0 ? 1 : hits / total;
}

/** Opens a small snapshot for the plain loops. */
export function openNaive(dir: string): NaiveModel & Disposable {
  const config = parseConfig(JSON.parse(Deno.readTextFileSync(`${dir}/config.json`)));
  const snapshot = openSnapshot(dir, { source: "pread" });
  return { config, weights: new NaiveWeights(snapshot), [Symbol.dispose]: () => snapshot.close() };
}

const QUESTIONS = [
  "Who are you?",
  "What is 17 + 25? Think first.",
  "Tell me a story about a fox.",
  "List three colours.",
  "Sort these numbers: 9, 4, 7, 1.",
  "Say hello in French.",
];
const ANSWER_TOKENS = 120;

/** The questions with the model's own greedy answers, one after the other. */
async function conversations(dir: string): Promise<number[]> {
  const text = await TextModel.load(dir);
  const engine = await openTestEngine(dir);
  const tokens: number[] = [];
  try {
    for (const content of QUESTIONS) {
      const { ids } = text.encodeChat([{ role: "user", content }]);
      const answer = await complete(engine, greedy([...ids], { maxTokens: ANSWER_TOKENS }));
      tokens.push(...ids, ...answer.tokens);
    }
  } finally {
    await engine.close();
  }
  return tokens;
}

/** The longest prompt of a file. */
function longestPrompt(file: string): number[] {
  const lines = Deno.readTextFileSync(file).trimEnd().split("\n").map((line) => JSON.parse(line));
  const prompts: number[][] = lines.map((line) => Array.isArray(line) ? line : line.tokens ?? []);
  return prompts.reduce((a, b) => a.length > b.length ? a : b);
}

function hasFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}

async function main(
  [dir = "weights/demo", file = `${dir}/expect.jsonl`]: readonly string[],
): Promise<void> {
  readSnapshotConfig(dir);
  const tokens = hasFile(file) ? longestPrompt(file) : await conversations(dir);
  using model = openNaive(dir);
  const { recalls, repeated, chance, onDemand, guessing } = measureLookahead(model, tokens);
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`.padStart(8);
  console.log(`${dir}, ${tokens.length} tokens`);
  for (const { distance, all, missing } of recalls) {
    console.log(`${distance} ahead: ${percent(all)} of all, ${percent(missing)} of the missing`);
  }
  const count = ({ stops, loads }: Paging) => `${stops} stops, ${loads} loads`;
  console.log(`on demand ${count(onDemand)}; guessing one layer ahead ${count(guessing)}`);
  console.log(`same as the row before: ${percent(repeated)}; blind: ${percent(chance)}`);
}

if (import.meta.main) {
  Deno.exit(await exitCode(() => main(Deno.args), { also: [RangeError] }));
}
