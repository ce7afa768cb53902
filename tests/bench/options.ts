/** Reads the command line of `bench`. @module */
import { OptionError, outputFile, readFlags } from "../../runtime/command_line.ts";
import { readSnapshotConfig } from "../../runtime/snapshot.ts";
import { checkpoints } from "./checkpoints.ts";

/** What can be measured. */
export const PARTS = [
  "kernels",
  "decode",
  "context",
  "prefill",
  "batch",
  "paging",
  "start",
] as const;

/** One of them. */
export type Part = typeof PARTS[number];

/** What to measure, and where to leave it. */
export interface BenchOptions {
  /** Folder for snapshots that are made, kept and used again. */
  readonly dir: string;
  readonly parts: ReadonlySet<Part>;
  /** Only models whose name contains it. */
  readonly model: string;
  /** Repetitions of each measurement. */
  readonly runs: number;
  /** Tokens before those that are decoded. */
  readonly contexts: readonly number[];
  /** Lengths of prompts. */
  readonly prompts: readonly number[];
  /** Sequences at once. */
  readonly batches: readonly number[];
  /** Slots as percentages of the experts. */
  readonly budgets: readonly number[];
  /** What is expected to take more seconds is left out, and said so. */
  readonly patience: number;
  /** When all should be over: what would take longer is left out, and said so. */
  readonly until: number;
  /** A snapshot to start the server with, beside the demo. */
  readonly startModel: string | null;
  readonly json: string | null;
  readonly svg: string | null;
}

/** The flags as lines of help. */
export const BENCH_HELP = `Verifies, then times; every number is the median of several runs.

bench [flags]
  --only LIST        of ${PARTS.join(",")} (all)
  --model TEXT       only models whose name contains TEXT; of models that differ in the head alone, the
                     first is measured whole, of the others a decoded token
  --runs N           runs of each measurement (3)
  --contexts LIST    decode after so many tokens (0,1k,8k,32k)
  --prompts LIST     prefill of so many tokens (128,512,1k,8k)
  --batches LIST     sequences that decode at once, at most 16 (1,4,8,16)
  --budgets LIST     slots as percentages of the experts (25,50,75)
  --patience SECONDS leave out single runs that should take longer, repeat none after it (240)
  --minutes N        leave out what should take longer than so much in all (25)
  --start-model DIR  start the server with this snapshot, too
  --dir DIR          folder for made snapshots, kept and used again: 7 GB (a folder in /tmp)
  --json FILE        everything that was measured
  --svg FILE         the kernels under the roofline`;

const TEXT = { type: "string" } as const;
const FLAGS = {
  only: TEXT,
  model: TEXT,
  runs: TEXT,
  contexts: TEXT,
  prompts: TEXT,
  batches: TEXT,
  budgets: TEXT,
  patience: TEXT,
  minutes: TEXT,
  "start-model": TEXT,
  dir: TEXT,
  json: TEXT,
  svg: TEXT,
} as const;

/**
 * @throws {OptionError} naming the flag, what was found and what was wanted
 * @throws {WeightsError | ConfigError} for a --start-model that is no snapshot
 */
export function parseBenchOptions(args: readonly string[]): BenchOptions {
  const { values } = readFlags({ args: [...args], options: FLAGS });
  if (values["start-model"] !== undefined) readSnapshotConfig(values["start-model"]);
  const numbers = (flag: keyof typeof FLAGS, fallback: string, range: Range) =>
    (values[flag] ?? fallback).split(",").map((text) => count(flag, text, range));
  const dir = values.dir ?? `${Deno.env.get("TMPDIR") ?? "/tmp"}/deltapage-bench`;
  return {
    dir,
    parts: new Set((values.only ?? PARTS.join()).split(",").map(partNamed)),
    model: partOfName(values.model ?? "", dir),
    runs: numbers("runs", "3", { least: 1, most: 1000 })[0]!,
    contexts: numbers("contexts", "0,1k,8k,32k", { least: 0, most: 2 ** 24 }),
    prompts: numbers("prompts", "128,512,1k,8k", { least: 2, most: 2 ** 24 }),
    batches: numbers("batches", "1,4,8,16", { least: 1, most: 16 }),
    budgets: numbers("budgets", "25,50,75", { least: 1, most: 99 }),
    patience: numbers("patience", "240", { least: 1, most: 1e6 })[0]!,
    until: performance.now() + 60_000 * numbers("minutes", "25", { least: 1, most: 1e5 })[0]!,
    startModel: values["start-model"] ?? null,
    json: written("json", values.json),
    svg: written("svg", values.svg),
  };
}

interface Range {
  readonly least: number;
  readonly most: number;
}

/** A whole number, or thousands of 1024 as in `8k`. */
function count(flag: string, text: string, { least, most }: Range): number {
  const match = /^(\d+)(k?)$/i.exec(text.trim());
  const value = match ? Number(match[1]) * (match[2] ? 1024 : 1) : NaN;
  if (value >= least && value <= most) return value;
  throw new OptionError(
    `Cannot read --${flag}: found "${text}", wanted whole numbers from ${least} to ${most} such as 8k`,
  );
}

function partOfName(text: string, dir: string): string {
  const names = checkpoints(dir).map(({ name }) => name);
  if (names.some((name) => name.includes(text))) return text;
  throw new OptionError(
    `Cannot read --model: found "${text}", wanted a part of ${names.join(" or ")}`,
  );
}

function written(flag: string, path: string | undefined): string | null {
  return path === undefined ? null : outputFile(flag, path);
}

function partNamed(name: string): Part {
  const found = PARTS.find((part) => part === name);
  if (found) return found;
  throw new OptionError(`Cannot read --only: found "${name}", wanted some of ${PARTS.join(",")}`);
}
