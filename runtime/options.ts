/** Everything that can be set at start: one table, read from flags and their environment twins. @module */
import { readReason } from "../weights/mod.ts";
import { PRODUCT_VARIANTS } from "../shaders/common/variants.ts";
import { OptionError, readFlags, wholeNumber } from "./command_line.ts";
import { MAX_AHEAD } from "./engine/pace.ts";
import type { ReadAheadMode } from "./experts/read_ahead.ts";
import type { ExpertIo } from "./experts/read_way.ts";
import type { HeadFormat, KvFormat } from "./model/parts.ts";

/** Where experts are: whatever fits best, all on the GPU, all in host memory that the GPU reads, or in the snapshot. */
export type Residency = "auto" | "resident" | "host" | "paged";

/** What the engine is opened with. */
export interface EngineOptions {
  /** Folder of the snapshot. */
  readonly model: string;
  /** GPU budget: bytes, `8G`, `80%`; null takes what the device gives (2 GiB on a software adapter). */
  readonly vram: string | null;
  readonly maxSequences: number;
  /** Longest prompt + output; null takes the model's, within reason. */
  readonly context: number | null;
  /** How keys and values are stored; f16 halves their memory, but may route near-ties of later layers otherwise. */
  readonly kv: KvFormat;
  /** A BF16 head as it is, or rounded to 8 bits: half the bytes of the largest matrix, log-probabilities less exact. */
  readonly head: HeadFormat;
  /** Bytes of RAM for checkpoints of state. */
  readonly stateCacheBytes: number;
  readonly maxWaiting: number;
  /** Rows of a prompt computed in one step. */
  readonly chunkRows: number;
  /** Folder that may be written to; null writes nothing. */
  readonly cacheDir: string | null;
  /**
   * How products of few rows are computed: the name of a variant; `measure` times all; `auto` takes what was measured before
   * in `cacheDir`, else measures on a GPU and takes the usual variant on a software adapter.
   */
  readonly kernels: string;
  readonly residency: Residency;
  /**
   * Decode steps that the GPU runs without waiting for the host, while every expert is resident; null chooses as many
   * as take 50 ms, and 1 on a software adapter.
   */
  readonly runAhead: number | null;
  /** How experts are read from files; auto times the ways at start. */
  readonly expertIo: ExpertIo;
  /** Whether the system is told to read experts that later layers will probably miss. */
  readonly lookAhead: ReadAheadMode;
  /** Heat map of the experts to load first; null takes the one that an earlier run left in `cacheDir`. */
  readonly warm: string | null;
}

/** What the HTTP side is opened with. */
export interface ServerOptions {
  readonly host: string;
  readonly port: number;
  readonly drainSeconds: number;
  /** Accepted API keys; empty asks for none. */
  readonly apiKeys: readonly string[];
  /** Origins whose pages may call the service from a browser, `*` for all; empty for none. */
  readonly corsOrigins: readonly string[];
}

/** All options of `serve`. */
export interface Options {
  readonly engine: EngineOptions;
  readonly server: ServerOptions;
}

export { OptionError };

interface Row {
  readonly flag: string;
  readonly value: string;
  readonly fallback: string | null;
  readonly help: string;
}

/** Flag, form of its value, default, meaning. The environment twin of `--max-sequences` is DELTAPAGE_MAX_SEQUENCES. */
export const OPTION_TABLE: readonly Row[] = [
  {
    flag: "model",
    value: "DIR",
    fallback: null,
    help: "snapshot folder; the demo model that ships with the project unless given",
  },
  { flag: "host", value: "ADDRESS", fallback: "127.0.0.1", help: "address to listen on" },
  { flag: "port", value: "N", fallback: "8080", help: "port to listen on; PORT is read too" },
  {
    flag: "vram",
    value: "SIZE",
    fallback: null,
    help: "GPU memory to plan with: bytes, 8G or 80%",
  },
  {
    flag: "max-sequences",
    value: "N",
    fallback: "4",
    help: "generations that run at once, 1 to 16",
  },
  { flag: "context", value: "TOKENS", fallback: null, help: "longest prompt with its answer" },
  {
    flag: "kv",
    value: "FORMAT",
    fallback: "f32",
    help: "keys and values as f32, or as f16 in half the memory and less exact",
  },
  {
    flag: "head",
    value: "FORMAT",
    fallback: "stored",
    help: "output head as stored, or a BF16 one as int8 in half the memory and less exact",
  },
  {
    flag: "state-cache",
    value: "SIZE",
    fallback: "1G",
    help: "RAM for checkpoints of conversations",
  },
  { flag: "queue", value: "N", fallback: "64", help: "generations that may wait before 429" },
  { flag: "chunk", value: "ROWS", fallback: "512", help: "prompt tokens computed in one step" },
  {
    flag: "cache-dir",
    value: "DIR",
    fallback: null,
    help: "folder for measurements worth keeping; nothing is written without it",
  },
  {
    flag: "kernels",
    value: "NAME",
    fallback: "auto",
    help:
      "variant of the matrix kernels; auto measures a GPU's once, measure also a software adapter's",
  },
  {
    flag: "residency",
    value: "MODE",
    fallback: "auto",
    help: "experts: resident on the GPU, in host RAM that it reads, or paged in from the snapshot",
  },
  {
    flag: "run-ahead",
    value: "N",
    fallback: "auto",
    help: "tokens decoded before the host sees them, 1 to 32, while all experts are resident",
  },
  {
    flag: "expert-io",
    value: "WAY",
    fallback: "auto",
    help: "how experts are read: pread, cached or mmap; auto times them at start",
  },
  {
    flag: "look-ahead",
    value: "MODE",
    fallback: "off",
    help:
      "read early what the next layer will probably miss: on, off, slots loads it, auto if it helps",
  },
  {
    flag: "warm",
    value: "FILE",
    fallback: null,
    help: "load the experts that this file of --cache-dir counted most, while idle",
  },
  {
    flag: "drain",
    value: "SECONDS",
    fallback: "30",
    help: "how long a SIGTERM lets running answers finish",
  },
  {
    flag: "api-key-file",
    value: "FILE",
    fallback: null,
    help: "file with one accepted API key a line",
  },
  {
    flag: "cors-origins",
    value: "LIST",
    fallback: null,
    help: "origins whose pages may call the service, by commas; * for all",
  },
];

const KERNELS = ["auto", "measure", ...PRODUCT_VARIANTS.map(({ name }) => name)];
const LOOK_AHEADS = ["auto", "on", "slots", "off"] as const satisfies readonly ReadAheadMode[];
const EXPERT_IOS = ["auto", "pread", "cached", "mmap"] as const satisfies readonly ExpertIo[];
const RESIDENCIES = ["auto", "resident", "host", "paged"] as const satisfies readonly Residency[];

/**
 * Reads options from command-line arguments, then from the environment.
 * @throws {OptionError} naming the flag, what was found and what was wanted
 */
export function parseOptions(
  args: readonly string[],
  env: (name: string) => string | undefined,
  demoModel: string,
): Options {
  const values = rawValues(args, env);
  const text = (flag: string) => values.get(flag) ?? null;
  const integer = (flag: string, least: number, most: number) =>
    wholeNumber(flag, values.get(flag)!, { least, most });
  return {
    engine: {
      model: text("model") ?? demoModel,
      vram: checkVram(text("vram")),
      maxSequences: integer("max-sequences", 1, 16),
      context: text("context") === null ? null : integer("context", 2, 2 ** 24),
      kv: parseChoice("kv", values.get("kv")!, ["f32", "f16"]),
      head: parseChoice("head", values.get("head")!, ["stored", "int8"]),
      stateCacheBytes: parseSize("state-cache", values.get("state-cache")!),
      maxWaiting: integer("queue", 0, 100_000),
      chunkRows: integer("chunk", 1, 8192),
      cacheDir: text("cache-dir"),
      kernels: parseChoice("kernels", values.get("kernels")!, KERNELS),
      residency: parseChoice("residency", values.get("residency")!, RESIDENCIES),
      runAhead: text("run-ahead") === "auto" ? null : integer("run-ahead", 1, MAX_AHEAD),
      expertIo: parseChoice("expert-io", values.get("expert-io")!, EXPERT_IOS),
      lookAhead: parseChoice("look-ahead", values.get("look-ahead")!, LOOK_AHEADS),
      warm: text("warm"),
    },
    server: {
      host: values.get("host")!,
      port: integer("port", 0, 65535),
      drainSeconds: integer("drain", 0, 3600),
      apiKeys: readKeys(text("api-key-file")),
      corsOrigins: parseOrigins(text("cors-origins")),
    },
  };
}

const SIZE = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i;

/**
 * Bytes from `123`, `8G`, `512M`, `64K` (powers of 1024).
 * @throws {OptionError} for anything else
 */
export function parseSize(flag: string, text: string): number {
  const match = SIZE.exec(text.trim());
  if (!match) {
    throw new OptionError(
      `Cannot read --${flag}: found "${text}", wanted bytes or a size such as 8G`,
    );
  }
  const power = " KMGT".indexOf(match[2]!.toUpperCase() || " ");
  return Math.floor(Number(match[1]) * 1024 ** power);
}

/**
 * What `--vram` asks for: bytes, or a share of what the device gives.
 * @throws {OptionError} if it is neither a size nor a percentage
 */
export function parseVram(text: string): { readonly bytes: number } | { readonly share: number } {
  const match = /^(\d+(?:\.\d+)?)\s*%$/.exec(text.trim());
  if (!match && SIZE.test(text.trim())) return { bytes: parseSize("vram", text) };
  const share = match ? Number(match[1]) / 100 : 0;
  if (share > 0 && share <= 1) return { share };
  throw new OptionError(
    `Cannot read --vram: found "${text}", wanted a size such as 8G or a share such as 80%`,
  );
}

/** The options as lines of help. */
export function optionHelp(): string {
  return OPTION_TABLE.map(({ flag, value, fallback, help }) => {
    const name = `  --${flag} ${value}`.padEnd(26);
    return `${name}${help}${fallback === null ? "" : ` (${fallback})`}`;
  }).join("\n");
}

function rawValues(
  args: readonly string[],
  env: (name: string) => string | undefined,
): Map<string, string> {
  const options = Object.fromEntries(
    OPTION_TABLE.map(({ flag }) => [flag, { type: "string" as const }]),
  );
  const flags = readFlags({ args: [...args], options }).values;
  const values = new Map<string, string>();
  for (const { flag, fallback } of OPTION_TABLE) {
    // Where settings are a form to fill in, an empty variable is one that was left out.
    const twin = env(`DELTAPAGE_${flag.toUpperCase().replaceAll("-", "_")}`) || undefined;
    const platform = flag === "port" ? env("PORT") || undefined : undefined;
    const value = flags[flag] ?? twin ?? platform ?? fallback;
    if (typeof value === "string") values.set(flag, value);
  }
  return values;
}

function checkVram(text: string | null): string | null {
  if (text !== null) parseVram(text);
  return text;
}

function parseChoice<T extends string>(flag: string, text: string, choices: readonly T[]): T {
  const choice = choices.find((choice) => choice === text);
  if (choice !== undefined) return choice;
  throw new OptionError(
    `Cannot read --${flag}: found "${text}", wanted ${choices.join(" or ")}`,
  );
}

function parseOrigins(text: string | null): readonly string[] {
  const origins = text === null ? [] : text.split(",").map((origin) => origin.trim());
  for (const origin of origins) {
    if (origin === "*" || URL.parse(origin)?.origin === origin) continue;
    throw new OptionError(
      `Cannot read --cors-origins: found "${origin}", wanted origins such as https://app.example, or *`,
    );
  }
  return origins;
}

function readKeys(file: string | null): readonly string[] {
  if (file === null) return [];
  let text: string;
  try {
    text = Deno.readTextFileSync(file);
  } catch (error) {
    throw new OptionError(
      `Cannot read --api-key-file "${file}": ${readReason(error)}, wanted a file with a key a line`,
    );
  }
  const keys = text.split(/\r?\n/).map((line) => line.trim()).filter((line) => line !== "");
  if (keys.length === 0) {
    throw new OptionError(
      `Cannot read --api-key-file "${file}": it is empty, wanted a file with a key a line`,
    );
  }
  return keys;
}
