/** Reads the command line of `plan`. @module */
import { parseArgs } from "node:util";
import { type ModelConfig, parseConfig } from "../model/config.ts";
import { parseSize } from "../options.ts";
import { inventory, tensorBytes, textInventory } from "../synth/inventory.ts";
import { MEMBERS } from "../synth/members.ts";
import { type Device, DEVICES } from "./devices.ts";
import type { PlanChoice, SizedTensor } from "../plan_input.ts";

/** A flag that cannot be used. */
export class ForecastOptionError extends Error {
  override name = "ForecastOptionError";
}

/** What a forecast is made of. */
export interface ForecastRequest {
  readonly title: string;
  readonly config: ModelConfig;
  readonly tensors: readonly SizedTensor[];
  readonly choice: PlanChoice;
  readonly device: Device;
  readonly json: boolean;
}

/** The flags as lines of help. */
export const FORECAST_HELP = `Says what of a model fits a device, and how fast it should be.

  --model NAME       ${Object.keys(MEMBERS).join(", ")},
                     or the path of a config.json (${Object.keys(MEMBERS)[0]})
  --format F         fp8 or bf16 (fp8)
  --device NAME      ${Object.keys(DEVICES).join(", ")}
  --vram SIZE        memory of the device, such as 16G
  --bandwidth GB/s   of its memory
  --link GB/s        from the host's memory to it (25)
  --context TOKENS   longest prompt with its answer
  --sequences N      generations that run at once (4)
  --kv F             f32 or f16 (f32)
  --json             one JSON object instead of a table`;

const FLAGS = [
  "model",
  "format",
  "device",
  "vram",
  "bandwidth",
  "link",
  "context",
  "sequences",
  "kv",
] as const;

/**
 * The request that `args` stand for.
 * @throws {ForecastOptionError} naming the flag, what was found and what was wanted
 */
export function parseForecastOptions(args: readonly string[]): ForecastRequest {
  const { json, ...values } = flags(args);
  const { model = Object.keys(MEMBERS)[0]!, format = "fp8", kv = "f32" } = values;
  if (format !== "fp8" && format !== "bf16") throw wrong("format", format, "fp8 or bf16");
  if (kv !== "f32" && kv !== "f16") throw wrong("kv", kv, "f32 or f16");
  const { config, tensors } = modelOf(model, format);
  const context = values.context === undefined ? null : whole("context", values.context);
  return {
    title: `${model} ${format}`,
    config,
    tensors,
    // What hardware allows; a software adapter allows less and splits more, the sums stay.
    choice: {
      maxBinding: 2 ** 31 - 1,
      maxSequences: whole("sequences", values.sequences ?? "4"),
      context,
      chunkRows: 512,
      kv,
    },
    device: deviceOf(values),
    json: json === true,
  };
}

type Values = Partial<Record<typeof FLAGS[number], string>>;

function flags(args: readonly string[]): Values & { readonly json?: boolean } {
  const text = Object.fromEntries(FLAGS.map((flag) => [flag, { type: "string" as const }]));
  const options = { ...text, json: { type: "boolean" as const } };
  try {
    return parseArgs({ args: [...args], options, strict: true }).values;
  } catch (error) {
    throw new ForecastOptionError(`Cannot read the options: ${(error as Error).message}`);
  }
}

function modelOf(
  name: string,
  format: "fp8" | "bf16",
): { readonly config: ModelConfig; readonly tensors: readonly SizedTensor[] } {
  const config = Object.hasOwn(MEMBERS, name)
    ? inventory({ member: MEMBERS[name as keyof typeof MEMBERS], format }).config
    : readConfig(name);
  const tensors = textInventory(config, format);
  return { config, tensors: tensors.map((t) => ({ ...t, byteLength: tensorBytes(t) })) };
}

function readConfig(file: string): ModelConfig {
  let json: unknown;
  try {
    json = JSON.parse(Deno.readTextFileSync(file));
  } catch (error) {
    throw wrong(
      "model",
      `${file}: ${(error as Error).message}`,
      "a member's name or a config.json",
    );
  }
  return parseConfig(json, file);
}

function deviceOf({ device, vram, bandwidth, link }: Values): Device {
  if (device !== undefined && !Object.hasOwn(DEVICES, device)) {
    throw wrong("device", device, Object.keys(DEVICES).join(", "));
  }
  const known = device === undefined ? undefined : DEVICES[device];
  if (!known && (vram === undefined || bandwidth === undefined)) {
    throw wrong("device", "nothing", "a device, or --vram and --bandwidth");
  }
  return {
    vram: vram === undefined ? known!.vram : parseSize("vram", vram),
    bandwidth: bandwidth === undefined ? known!.bandwidth : rate("bandwidth", bandwidth),
    link: link === undefined ? known?.link ?? 25e9 : rate("link", link),
  };
}

function rate(flag: string, text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value * 1e9;
  throw wrong(flag, text, "GB a second");
}

function whole(flag: string, text: string): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  throw wrong(flag, text, "a whole number");
}

function wrong(flag: string, found: string, wanted: string): ForecastOptionError {
  return new ForecastOptionError(`Cannot read --${flag}: found "${found}", wanted ${wanted}`);
}
