/** Reads the command line of the report. @module */
import { OptionError, outputFile, readFlags } from "../../runtime/command_line.ts";
import { parseOptions, parseSize } from "../../runtime/options.ts";
import { readSnapshotConfig } from "../../runtime/snapshot.ts";
import { type MemberName, MEMBERS } from "../../runtime/synth/members.ts";

/** What is run. */
export interface ReportOptions {
  /** Folder of made snapshots and of the report. */
  readonly dir: string;
  /** A snapshot to use; null makes one. */
  readonly snapshot: string | null;
  readonly model: MemberName;
  /** Of the made snapshot; null: all. */
  readonly layers: number | null;
  readonly experts: number | null;
  readonly vocab: number | null;
  /** As `serve --vram` takes them, largest first; beside everything resident. */
  readonly budgets: readonly string[];
  /** Lengths of prompts that are timed, tokens. */
  readonly prompts: readonly number[];
  /** Tokens decoded for a rate. */
  readonly decode: number;
  /** As `serve --kernels`. */
  readonly kernels: string;
  /** A Python that may have torch and transformers. */
  readonly python: string;
  /** llama.cpp's program or its folder, and the snapshot as it has it; null: not compared. */
  readonly llamaBench: string | null;
  readonly gguf: string | null;
  /** Which Vulkan device llama.cpp takes. */
  readonly device: string;
  /** Seconds for everything. */
  readonly seconds: number;
  /** Bytes that are read and copied for a rate. */
  readonly bytes: number;
  /** Most bytes of host memory that are allocated for the device to see. */
  readonly hostPool: number;
  /** Longest submission that is tried, seconds. */
  readonly longestSubmit: number;
  /** Parts to run; empty: all. */
  readonly only: readonly string[];
  /** Path of the report without its ending. */
  readonly out: string;
}

/** Time for everything: a little less than eight minutes. */
export const DEFAULT_SECONDS = 470;

/** The flags as lines of help. */
export const REPORT_HELP =
  `Measures this machine's GPU with the engine, in one go: correctness, then speed.

  --dir DIR           for the made snapshot, 38 GB if there is room (a folder in TMPDIR)
  --snapshot DIR      use this one instead of making one
  --model NAME        what is made: ${Object.keys(MEMBERS).join(", ")}
  --layers N, --experts N, --vocab N   make a cut one
  --budgets LIST      GPU budgets beside everything resident (24G,16G,12G,8G)
  --prompts LIST      lengths of prompts, tokens (1000,8000)
  --decode N          tokens decoded for a rate (48)
  --kernels NAME      variant of the matrix kernels, as for serve (auto: the fastest measured)
  --python PROGRAM    compares with transformers if it has that and torch (python3)
  --llama-bench PATH, --gguf FILE   llama.cpp and the snapshot in its format: runs it, too
  --device N          the Vulkan device for llama.cpp (0)
  --seconds N         time for everything; what does not fit in is named (${DEFAULT_SECONDS})
  --bytes SIZE        read and copied for a rate (1G; 32M on a software adapter)
  --host-pool SIZE    most host memory shown to the device at once (8G)
  --longest-submit N  longest submission tried, seconds (4)
  --only LIST         only these parts
  --out PATH          PATH.md and PATH.json are written (gpu-report in the current folder)`;

const FLAGS = [
  "dir",
  "snapshot",
  "model",
  "layers",
  "experts",
  "vocab",
  "budgets",
  "prompts",
  "decode",
  "kernels",
  "python",
  "llama-bench",
  "gguf",
  "device",
  "seconds",
  "bytes",
  "host-pool",
  "longest-submit",
  "only",
  "out",
] as const;

/**
 * @throws {OptionError} naming the flag, what was found and what was wanted
 * @throws {WeightsError | ConfigError} for a --snapshot that is none
 */
export function parseReportOptions(args: readonly string[], temporary: string): ReportOptions {
  const options = Object.fromEntries(FLAGS.map((flag) => [flag, { type: "string" as const }]));
  const values: Partial<Record<typeof FLAGS[number], string>> =
    readFlags({ args: [...args], options }).values;
  const { model = "35B-A3B" } = values;
  if (!Object.hasOwn(MEMBERS, model)) {
    throw new OptionError(
      `Cannot read --model: found "${model}", wanted ${Object.keys(MEMBERS).join(", ")}`,
    );
  }
  const list = (text: string) => text.split(",").filter((part) => part !== "");
  const budgets = list(values.budgets ?? "24G,16G,12G,8G");
  for (const budget of budgets) parseSize("budgets", budget);
  const { kernels = "auto", snapshot = null } = values;
  parseOptions(["--kernels", kernels], () => undefined, ""); // takes what serve takes
  if (snapshot !== null) readSnapshotConfig(snapshot);
  return {
    dir: values.dir ?? `${temporary}/deltapage-gpu-report`,
    snapshot,
    model: model as MemberName,
    layers: optional("layers", values.layers),
    experts: optional("experts", values.experts),
    vocab: optional("vocab", values.vocab),
    budgets,
    prompts: list(values.prompts ?? "1000,8000").map((text) => number("prompts", text)),
    decode: number("decode", values.decode ?? "48"),
    kernels,
    python: values.python ?? "python3",
    llamaBench: values["llama-bench"] ?? null,
    gguf: values.gguf ?? null,
    device: values.device ?? "0",
    seconds: values.seconds === undefined ? DEFAULT_SECONDS : number("seconds", values.seconds),
    bytes: parseSize("bytes", values.bytes ?? "0"),
    hostPool: parseSize("host-pool", values["host-pool"] ?? "8G"),
    longestSubmit: number("longest-submit", values["longest-submit"] ?? "4"),
    only: list(values.only ?? ""),
    out: outputFile("out", values.out ?? "gpu-report"),
  };
}

function optional(flag: string, text: string | undefined): number | null {
  return text === undefined ? null : number(flag, text);
}

function number(flag: string, text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value > 0 && Number.isFinite(value)) return value;
  throw new OptionError(`Cannot read --${flag}: found "${text}", wanted a number above 0`);
}
