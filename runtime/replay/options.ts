/** Reads the command line of `replay`. @module */
import { OptionError, outputFile, readFlags } from "../command_line.ts";
import { type EngineOptions, OPTION_TABLE, parseOptions } from "../options.ts";
import { type PolicyName, REPLAY_POLICIES } from "./policies.ts";
import type { SyntheticOptions } from "./synthetic.ts";

/** What to draw curves of. */
export interface CurvesRequest {
  readonly command: "curves";
  /** Files of recorded traces. */
  readonly files: readonly string[];
  /** A generated trace, unless files are given alone. */
  readonly synthetic: SyntheticOptions | null;
  readonly policies: readonly PolicyName[];
  /** Shares of the experts that are slots. */
  readonly residencies: readonly number[];
  readonly json: boolean;
}

/** What to record. */
export interface RecordingRequest {
  readonly command: "record";
  readonly engine: EngineOptions;
  readonly promptFile: string;
  readonly out: string;
  readonly maxTokens: number;
  readonly seed: number;
}

const POLICY_NAMES = Object.keys(REPLAY_POLICIES) as PolicyName[];
const EVERY_FIVE = Array.from({ length: 20 }, (_, i) => (i + 1) / 20);

/** The flags as lines of help. */
export const REPLAY_HELP = `Hit rates of expert paging over the share of experts that are slots.

replay [flags]
  --trace FILE       a recorded trace; may be repeated. Without one a trace is generated
  --sticky X         generate: share of experts kept from row to row (0.45)
  --zipf X           generate: exponent of the experts' popularity (0.6)
  --layers N         generate: layers (4)
  --experts N        generate: experts of a layer (256)
  --top-k N          generate: experts a row chooses (8)
  --steps N          generate: steps (512)
  --rows N           generate: rows a step (1)
  --seed N           generate: equal seeds give equal traces (1)
  --policies LIST    of ${POLICY_NAMES.join(",")} (all)
  --residency LIST   percentages (5,10,...,100)
  --json             one JSON document instead of tables

replay record --model DIR --prompts FILE --out FILE [--tokens N] [--seed N] [flags of serve]
  --prompts FILE     one prompt a line: a JSON array of token ids, or a JSON string of text
  --out FILE         where the trace goes
  --tokens N         tokens to generate after each prompt (64)
  --seed N           of the sampling at temperature 1 (1)`;

const CURVES = {
  trace: { type: "string", multiple: true },
  sticky: { type: "string" },
  zipf: { type: "string" },
  layers: { type: "string" },
  experts: { type: "string" },
  "top-k": { type: "string" },
  steps: { type: "string" },
  rows: { type: "string" },
  seed: { type: "string" },
  policies: { type: "string" },
  residency: { type: "string" },
  json: { type: "boolean" },
} as const;

/**
 * The request that `args` stand for; `demoModel` is recorded unless another model is named.
 * @throws {OptionError} naming the flag, what was found and what was wanted
 */
export function parseReplayOptions(
  args: readonly string[],
  demoModel: string,
): CurvesRequest | RecordingRequest {
  return args[0] === "record" ? parseRecording(args.slice(1), demoModel) : parseCurves(args);
}

function parseCurves(args: readonly string[]): CurvesRequest {
  const { values } = readFlags({ args: [...args], options: CURVES });
  const files = values.trace ?? [];
  const number = (flag: "sticky" | "zipf", fallback: number, most: number) =>
    inRange(flag, values[flag], { fallback, least: 0, most });
  const count = (flag: keyof typeof CURVES, fallback: number, most: number) =>
    whole(flag, values[flag] as string | undefined, { fallback, least: 1, most });
  const experts = count("experts", 256, 65536);
  const synthetic = {
    layers: count("layers", 4, 1000),
    experts,
    topK: count("top-k", Math.min(8, experts), experts),
    steps: count("steps", 512, 100_000),
    rows: count("rows", 1, 8192),
    sticky: number("sticky", 0.45, 1),
    zipf: number("zipf", 0.6, 10),
    seed: whole("seed", values.seed, { fallback: 1, least: 0, most: 2 ** 32 - 1 }),
  };
  return {
    command: "curves",
    files,
    synthetic: files.length > 0 ? null : synthetic,
    policies: list(values.policies, POLICY_NAMES, (name) => policyName(name)),
    residencies: list(
      values.residency,
      EVERY_FIVE,
      (text) => inRange("residency", text, { fallback: 0, least: 0, most: 100 }) / 100,
    ),
    json: values.json ?? false,
  };
}

function parseRecording(args: readonly string[], demoModel: string): RecordingRequest {
  const text = { type: "string" } as const;
  const engineFlags = Object.fromEntries(OPTION_TABLE.map(({ flag }) => [flag, text]));
  const options = { ...engineFlags, prompts: text, out: text, tokens: text, seed: text };
  const { values } = readFlags({ args: [...args], options });
  const { prompts, out, tokens, seed, ...engine } = values;
  if (typeof prompts !== "string") throw wrong("prompts", undefined, "a file of prompts");
  if (typeof out !== "string") throw wrong("out", undefined, "the file to write");
  const engineArgs = Object.entries(engine).map(([flag, value]) => `--${flag}=${value}`);
  return {
    command: "record",
    engine: parseOptions(engineArgs, () => undefined, demoModel).engine,
    promptFile: prompts,
    out: outputFile("out", out),
    maxTokens: whole("tokens", tokens, { fallback: 64, least: 0, most: 2 ** 20 }),
    seed: whole("seed", seed, { fallback: 1, least: 0, most: 2 ** 32 - 1 }),
  };
}

interface Range {
  readonly fallback: number;
  readonly least: number;
  readonly most: number;
}

function inRange(flag: string, text: unknown, { fallback, least, most }: Range): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (String(text).trim() !== "" && value >= least && value <= most) return value;
  throw wrong(flag, text, `a number from ${least} to ${most}`);
}

function whole(flag: string, text: unknown, range: Range): number {
  const value = inRange(flag, text, range);
  if (Number.isInteger(value)) return value;
  throw wrong(flag, text, `a whole number from ${range.least} to ${range.most}`);
}

function list<T>(
  text: string | undefined,
  fallback: readonly T[],
  parse: (item: string) => T,
): readonly T[] {
  return text === undefined ? fallback : text.split(",").map(parse);
}

function policyName(name: string): PolicyName {
  const found = POLICY_NAMES.find((known) => known === name);
  if (found === undefined) throw wrong("policies", name, POLICY_NAMES.join(", "));
  return found;
}

function wrong(flag: string, found: unknown, wanted: string): OptionError {
  return new OptionError(
    `Cannot read --${flag}: found ${
      found === undefined ? "nothing" : `"${found}"`
    }, wanted ${wanted}`,
  );
}
