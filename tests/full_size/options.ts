/** Reads the command line of the full-size run. @module */
import { OptionError, outputFile, readFlags, wholeNumber } from "../../runtime/command_line.ts";
import { parseOptions } from "../../runtime/options.ts";
import { readSnapshotConfig } from "../../runtime/snapshot.ts";
import { type Budget, serveFlags } from "./budget_run.ts";

/** What is run. */
export interface FullSizeOptions {
  readonly model: string;
  readonly vocab: number;
  readonly budgets: readonly Budget[];
  readonly requests: number;
  /** Tokens of each prompt, and of each answer. */
  readonly prompt: number;
  readonly tokens: number;
  /** Further flags of `serve`. */
  readonly flags: readonly string[];
  readonly json: string | null;
}

/** The flags as lines of help. */
export const FULL_SIZE_HELP = `Serves a snapshot with several GPU budgets and compares the answers.

full_size SNAPSHOT [flags] [-- flags of serve]
  --budgets LIST     of --vram, with ":resident" behind one that loads every expert at start (8G,6G)
  --requests N       sent at once (2)
  --prompt N         tokens of each prompt (64)
  --tokens N         tokens of each answer (16)
  --json FILE        writes everything that was measured`;

const FLAGS = {
  budgets: { type: "string", default: "8G,6G" },
  requests: { type: "string", default: "2" },
  prompt: { type: "string", default: "64" },
  tokens: { type: "string", default: "16" },
  json: { type: "string" },
} as const;

const COUNTS = {
  requests: { least: 1, most: 64 },
  prompt: { least: 1, most: 2 ** 20 },
  tokens: { least: 1, most: 2 ** 20 },
} as const;

/**
 * @throws {OptionError} naming the flag, what was found and what was wanted
 * @throws {WeightsError | ConfigError} for a folder that is no snapshot
 */
export function parseFullSizeOptions(args: readonly string[]): FullSizeOptions {
  const { values, positionals: [model, ...flags] } = readFlags({
    args: [...args],
    options: FLAGS,
    allowPositionals: true,
  });
  if (model === undefined) {
    throw new OptionError("Cannot run: found no snapshot, wanted its folder; --help says more");
  }
  const { config: { vocab } } = readSnapshotConfig(model);
  const budgets = values.budgets.split(",");
  // Takes what the server will take, before the first one has run for minutes.
  for (const budget of budgets) parseOptions(serveFlags(budget, flags), () => undefined, model);
  const count = (flag: keyof typeof COUNTS) => wholeNumber(flag, values[flag], COUNTS[flag]);
  return {
    ...{ model, vocab, budgets, flags },
    requests: count("requests"),
    prompt: count("prompt"),
    tokens: count("tokens"),
    json: values.json === undefined ? null : outputFile("json", values.json),
  };
}
