/** Reads what a forecast is asked for from names and texts, of a command line or of a URL. @module */
import { readReason } from "../../weights/mod.ts";
import { MAX_AHEAD } from "../engine/pace.ts";
import { parseSize } from "../options.ts";
import { MEMBERS } from "../synth/members.ts";
import { ASSUMED, type Device, DEVICES } from "./devices.ts";
import type { ForecastRequest } from "./estimate.ts";
import type { Paging } from "./paging.ts";
import { jsonSubject, MEMBER_NAMES, memberSubject, type Subject } from "./subject.ts";

/** A setting that cannot be used. */
export class ForecastOptionError extends Error {
  override name = "ForecastOptionError";
  constructor(
    /** The setting's name; empty where there is no such setting. */
    readonly option: string,
    /** What was found and what was wanted. */
    readonly reason: string,
  ) {
    super(`Cannot read ${option === "" ? "the options" : `--${option}`}: ${reason}`);
  }
}

/** Name, form and meaning of every setting. */
export const FORECAST_OPTIONS = [
  ["model", "NAME", `${MEMBER_NAMES.join(", ")}, or on the command line a config.json`],
  ["format", "F", "how the weights are stored: fp8 or bf16 (fp8)"],
  ["device", "NAME", Object.keys(DEVICES).join(", ")],
  ["vram", "SIZE", "memory of the card, such as 16G; 94 % of it are planned with"],
  ["bandwidth", "GB/s", "of its memory"],
  ["ram", "SIZE", "memory of the host: what it cannot cache of the experts comes from the disk"],
  ["link", "GB/s", `from the host's memory to the card (${ASSUMED.link / 1e9})`],
  ["host", "GB/s", `experts that the host can read, check and hand over (${ASSUMED.host / 1e9})`],
  ["disk", "GB/s", `of reading the snapshot (${ASSUMED.disk / 1e9})`],
  ["tflops", "N", `f32 arithmetic of the card, for prompts (${ASSUMED.flops / 1e12})`],
  ["context", "TOKENS", "longest prompt with its answer"],
  ["sequences", "N", "generations that run at once, 1 to 16 (4)"],
  ["kv", "F", "keys and values as f32 or f16 (f32)"],
  ["head", "F", "output head as stored, or a BF16 one as int8 and less exact (stored)"],
  ["residency", "MODE", "missing experts: host for a copy in host memory, paged for files (auto)"],
  ["run-ahead", "N", "1 decodes without running ahead of the host, which takes memory (auto)"],
  ["chunk", "ROWS", "prompt tokens computed in one step (512)"],
] as const;

/** A setting's name. */
export type ForecastOption = typeof FORECAST_OPTIONS[number][0];

/** Settings as texts. */
export type ForecastValues = Readonly<Partial<Record<ForecastOption, string>>>;

/** What holds where nothing is said. */
export interface ForecastDefaults {
  readonly subject?: Subject;
  readonly choice?: Partial<ForecastRequest["choice"]>;
  readonly device?: Device;
  /** Of a device that is not given: whether it runs ahead, and who brings its missing experts. */
  readonly ahead?: boolean;
  readonly paging?: Paging;
  /** Whether a model may be a path of a file here. */
  readonly files: boolean;
}

/**
 * The request that the values stand for.
 * @throws {ForecastOptionError} naming the setting, what was found and what was wanted
 */
export function forecastRequest(
  values: ForecastValues,
  defaults: ForecastDefaults,
): ForecastRequest {
  const subject = subjectOf(values, defaults);
  const { choice } = defaults;
  const context = values.context === undefined
    ? choice?.context ?? null
    : whole("context", values.context, [2, subject.config.maxPositions]);
  const number = (name: ForecastOption, fallback: number, bounds: Bounds) =>
    values[name] === undefined ? fallback : whole(name, values[name], bounds);
  return {
    subject,
    choice: {
      // What hardware allows; a software adapter allows less and splits more, the sums stay.
      maxBinding: choice?.maxBinding ?? 2 ** 31 - 1,
      maxSequences: number("sequences", choice?.maxSequences ?? 4, [1, 16]),
      context,
      chunkRows: number("chunk", choice?.chunkRows ?? 512, [1, 8192]),
      head: values.head === undefined
        ? choice?.head ?? "stored"
        : oneOf("head", values.head, ["stored", "int8"]),
      kv: values.kv === undefined ? choice?.kv ?? "f32" : oneOf("kv", values.kv, ["f32", "f16"]),
    },
    ahead: aheadOf(values, defaults),
    paging: pagingOf(values, defaults),
    device: deviceOf(values, defaults.device),
  };
}

type Bounds = readonly [least: number, most: number];

function aheadOf({ "run-ahead": steps }: ForecastValues, { ahead = true }: ForecastDefaults) {
  if (steps === undefined) return ahead;
  return steps === "auto" || whole("run-ahead", steps, [1, MAX_AHEAD]) > 1;
}

function pagingOf({ residency }: ForecastValues, { paging }: ForecastDefaults): Paging | null {
  if (residency === undefined) return paging ?? null;
  const mode = oneOf("residency", residency, ["auto", "host", "paged"]);
  return mode === "auto" ? null : mode;
}

function subjectOf(values: ForecastValues, { subject, files }: ForecastDefaults): Subject {
  const { model, format: stated } = values;
  if (model === undefined && stated === undefined && subject) return subject;
  const format = oneOf("format", stated ?? "fp8", ["fp8", "bf16"]);
  const name = model ?? MEMBER_NAMES[0]!;
  if (Object.hasOwn(MEMBERS, name)) return memberSubject(name as keyof typeof MEMBERS, format);
  if (!files) throw wrong("model", name, MEMBER_NAMES.join(", "));
  return jsonSubject(readJson(name), name, format);
}

function readJson(file: string): unknown {
  try {
    const isFolder = Deno.statSync(file).isDirectory;
    return JSON.parse(Deno.readTextFileSync(isFolder ? `${file}/config.json` : file));
  } catch (error) {
    const found = `${file}: ${readReason(error)}`;
    throw wrong("model", found, `${MEMBER_NAMES.join(", ")} or a snapshot or its config.json`);
  }
}

function deviceOf(values: ForecastValues, own: Device | undefined): Device {
  const { device, vram, bandwidth } = values;
  if (device !== undefined && !Object.hasOwn(DEVICES, device)) {
    throw wrong("device", device, Object.keys(DEVICES).join(", "));
  }
  const known = device === undefined ? own : DEVICES[device]!;
  if (!known && (vram === undefined || bandwidth === undefined)) {
    const names = Object.keys(DEVICES).join(", ");
    throw wrong("device", "nothing", `one of ${names}, or vram and bandwidth`);
  }
  const base = known ?? { ...ASSUMED, name: "this card", vram: 0, bandwidth: 0, ram: null };
  return {
    ...base,
    ...(vram === undefined ? {} : { vram: bytes("vram", vram), usable: ASSUMED.usable }),
    ...(values.ram === undefined ? {} : { ram: bytes("ram", values.ram) }),
    bandwidth: rate("bandwidth", values, base.bandwidth),
    link: rate("link", values, base.link),
    host: rate("host", values, base.host),
    disk: rate("disk", values, base.disk),
    flops: values.tflops === undefined ? base.flops : positive("tflops", values.tflops) * 1e12,
  };
}

function rate(name: ForecastOption, values: ForecastValues, fallback: number): number {
  const text = values[name];
  return text === undefined ? fallback : positive(name, text) * 1e9;
}

function positive(name: ForecastOption, text: string): number {
  const value = Number(text);
  if (text.trim() !== "" && value > 0 && value < 1e6) return value;
  throw wrong(name, text, "a number above 0");
}

function bytes(name: ForecastOption, text: string): number {
  let value = 0;
  try {
    value = parseSize(name, text);
  } catch { /* said below */ }
  if (value > 0 && value <= 2 ** 44) return value;
  throw wrong(name, text, "bytes or a size such as 8G");
}

function whole(name: ForecastOption, text: string, [least, most]: Bounds): number {
  const value = Number(text);
  if (text.trim() !== "" && Number.isInteger(value) && value >= least && value <= most) {
    return value;
  }
  throw wrong(name, text, `a whole number from ${least} to ${most}`);
}

function oneOf<T extends string>(name: ForecastOption, text: string, choices: readonly T[]): T {
  const choice = choices.find((choice) => choice === text);
  if (choice !== undefined) return choice;
  throw wrong(name, text, choices.join(" or "));
}

function wrong(name: ForecastOption, found: string, wanted: string): ForecastOptionError {
  // A caller's text is shown, not echoed at length.
  const shown = found.length > 80 ? `${found.slice(0, 80)}...` : found;
  return new ForecastOptionError(name, `found "${shown}", wanted ${wanted}`);
}
