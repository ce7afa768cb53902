/** Reads the command line of the pairing. @module */
import { OptionError, outputFile, readFlags } from "../../../runtime/command_line.ts";
import { checkpoints } from "../checkpoints.ts";
import { BACKENDS, type PeerBackend } from "./llama_bench.ts";

/** What to pair. */
export interface PeerOptions {
  /** The program, or the folder that holds it. */
  readonly llamaBench: string;
  readonly gguf: string;
  /** Makes the GGUF where it is missing; null where it has to be there. */
  readonly convert: string | null;
  readonly snapshot: string;
  readonly backends: readonly PeerBackend[];
  /** Lengths of prompts. */
  readonly prompts: readonly number[];
  /** Tokens that llama.cpp decodes in one run. */
  readonly tokens: number;
  readonly rounds: number;
  /** Rounds of first prompts of fresh processes, for which the driver has compiled nothing. */
  readonly freshRounds: number;
  /** Prompts that should take more seconds are left out. */
  readonly patience: number;
  /** Which Vulkan device llama.cpp takes. */
  readonly device: string;
  readonly json: string | null;
}

/** The flags as lines of help. */
export const PEER_HELP = `Runs llama.cpp and this engine in turn on one checkpoint and one device.

peer --llama-bench PATH --gguf FILE [flags]
  --llama-bench PATH  llama.cpp's llama-bench, or the folder that holds it
  --gguf FILE         the snapshot as llama.cpp has it, in Q8_0
  --convert COMMAND   makes FILE if it is missing; {snapshot} and {gguf} stand for the two paths
  --snapshot DIR      what this engine runs (35B-A3B cut to 4 layers, vocabulary 640, as bench makes it)
  --backends LIST     of ${BACKENDS.join(",")} (vulkan,cpu)
  --prompts LIST      prefill of so many tokens, short ones first (16,512)
  --tokens N          tokens that llama.cpp decodes (8)
  --rounds N          rounds (3)
  --fresh-rounds N    rounds of first prompts of fresh processes, for which the driver has
                      compiled nothing; llama.cpp may take a minute for one (1)
  --patience SECONDS  leave out prompts that should take llama.cpp longer (120)
  --device N          the Vulkan device for GGML_VK_VISIBLE_DEVICES (0)
  --json FILE         everything that was measured`;

const TEXT = { type: "string" } as const;
const FLAGS = {
  "llama-bench": TEXT,
  gguf: TEXT,
  convert: TEXT,
  snapshot: TEXT,
  backends: TEXT,
  prompts: TEXT,
  tokens: TEXT,
  rounds: TEXT,
  "fresh-rounds": TEXT,
  patience: TEXT,
  device: TEXT,
  json: TEXT,
} as const;

/** @throws {OptionError} naming the flag, what was found and what was wanted */
export function parsePeerOptions(args: readonly string[]): PeerOptions {
  const { values } = readFlags({ args: [...args], options: FLAGS });
  const needed = (flag: "llama-bench" | "gguf", what: string) => {
    const value = values[flag];
    if (value) return value;
    throw new OptionError(`Cannot pair: found no --${flag}, wanted ${what}`);
  };
  const counts = (flag: keyof typeof FLAGS, fallback: string) =>
    (values[flag] ?? fallback).split(",").map((text) => count(flag, text));
  const dir = `${Deno.env.get("TMPDIR") ?? "/tmp"}/deltapage-bench`;
  return {
    llamaBench: needed("llama-bench", "llama.cpp's program or the folder that holds it"),
    gguf: needed("gguf", "the snapshot in llama.cpp's format, or where --convert should leave it"),
    convert: values.convert ?? null,
    snapshot: values.snapshot ?? checkpoints(dir).find(({ realSizes }) => realSizes)!.folder,
    backends: (values.backends ?? "vulkan,cpu").split(",").map(backendNamed),
    prompts: counts("prompts", "16,512"),
    tokens: counts("tokens", "8")[0]!,
    rounds: counts("rounds", "3")[0]!,
    freshRounds: counts("fresh-rounds", "1")[0]!,
    patience: counts("patience", "120")[0]!,
    device: values.device ?? "0",
    json: values.json === undefined ? null : outputFile("json", values.json),
  };
}

function count(flag: string, text: string): number {
  const value = Number(text);
  if (/^\d+$/.test(text.trim()) && value >= 1 && value <= 2 ** 20) return value;
  throw new OptionError(`Cannot read --${flag}: found "${text}", wanted a whole number from 1`);
}

function backendNamed(name: string): PeerBackend {
  const found = BACKENDS.find((backend) => backend === name);
  if (found) return found;
  throw new OptionError(
    `Cannot read --backends: found "${name}", wanted some of ${BACKENDS.join(",")}`,
  );
}
