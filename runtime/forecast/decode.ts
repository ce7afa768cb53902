/** How fast tokens should come. @module */
import type { ModelConfig } from "../model/config.ts";
import type { PlanInput } from "../plan.ts";
import { decimal, type Derived, digits, percent, time } from "./derived.ts";
import type { Device } from "./devices.ts";
import { distinctExperts, type Paging, pagingRates, type Sources, sourcesOf } from "./paging.ts";

/** What a speed is predicted from. */
export interface SpeedInput {
  readonly config: ModelConfig;
  readonly plan: Omit<PlanInput, "budget">;
  /** Expert slots of each layer. */
  readonly slots: number;
  readonly device: Device;
  readonly paging: Paging;
}

/** Sequences that decode together, and the tokens before each. */
export interface DecodeLoad {
  readonly sequences: number;
  readonly context: number;
  /** Texts that have nothing in common. */
  readonly unconnected?: boolean;
  /** Sequences that have nothing in common with each other. */
  readonly apart?: boolean;
}

/** One step of decoding. */
export interface DecodeSpeed {
  /** Of all sequences together. */
  readonly tokensPerSecond: Derived;
  /** Bytes that the GPU reads in a step. */
  readonly bytes: Derived;
  /** Bytes of experts that a step has to page in. */
  readonly paged: Derived;
  readonly sources: Sources | null;
  /** Tokens a second if only the card's bandwidth counted and nothing were paged. */
  readonly ceiling: Derived;
}

/** Share of a card's bandwidth that kernels like these reach: published figures say 0.45 to 0.7. */
export const BANDWIDTH_SHARE = 0.5;
/** Dispatches of a DeltaNet layer, an attention layer, and of embedding, head and sampling. */
const DISPATCHES = { linear: 7, full: 9, rest: 9 } as const;
/** Dispatches of a layer whose missing experts the device copies by itself. */
const FILL_DISPATCHES = 2;
/** Seconds of a stop for missing experts beside the copies: one read-back, one more submission. */
const STOP_SECONDS = 2e-4;

/** The speed of decoding. */
export function decodeSpeed(input: SpeedInput, load: DecodeLoad): DecodeSpeed {
  const { config, plan: { experts }, slots, device, paging } = input;
  const { sequences } = load;
  const bytes = bytesOfStep(input, load);
  const sources = experts && sourcesOf({ ...load, experts, slots, device, paging });
  const paged = pagedBytes(input, sequences, sources);
  const filling = paging === "host" && sources !== null && sources.hits.value < 1;
  const dispatches = dispatchesOf(config) + (filling ? FILL_DISPATCHES * config.layers : 0);
  const reading = bytes.value / (device.bandwidth * BANDWIDTH_SHARE);
  const starting = dispatches * device.dispatch;
  const terms = [
    `${time(reading)} to read at ${percent(BANDWIDTH_SHARE)} of ${decimal(device.bandwidth)}/s`,
    `${time(starting)} for ${dispatches} dispatches`,
  ];
  let seconds = reading + starting;
  if (experts && sources && sources.hits.value < 1) {
    const waiting = waitOf(input, sequences, sources);
    seconds += waiting.value;
    terms.push(waiting.formula);
  }
  return {
    tokensPerSecond: {
      value: sequences / seconds,
      formula: `${sequences} / (${terms.join(" + ")})`,
    },
    bytes,
    paged,
    sources,
    ceiling: {
      value: sequences * device.bandwidth / bytes.value,
      formula: `${sequences > 1 ? `${sequences} x ` : ""}${decimal(device.bandwidth)}/s / ${
        decimal(bytes.value)
      }`,
    },
  };
}

/** Dispatches of a step that decodes. */
export function dispatchesOf({ layerKinds }: ModelConfig): number {
  return layerKinds.reduce((sum, kind) => sum + DISPATCHES[kind], 0) + DISPATCHES.rest;
}

function bytesOfStep(
  { plan: { trunk, experts, stateSlot, kvPage, pageTokens } }: SpeedInput,
  { sequences, context }: DecodeLoad,
): Derived {
  const each = sequences > 1 ? `${sequences} x ` : "";
  const kv = kvPage / pageTokens;
  const parts: [number, string][] = [[trunk, `trunk ${decimal(trunk)}`]];
  if (experts) {
    const distinct = distinctExperts(experts, sequences);
    const { layers, stride } = experts;
    parts.push([
      layers * distinct * stride,
      `${layers} layers x ${digits(distinct)} experts x ${decimal(stride)}`,
    ]);
  }
  parts.push([
    2 * sequences * stateSlot,
    `${each}2 x ${decimal(stateSlot)} of state, read and written`,
  ]);
  if (context > 0) {
    parts.push([sequences * context * kv, `${each}${context} tokens x ${decimal(kv)} of KV`]);
  }
  return {
    value: parts.reduce((sum, [bytes]) => sum + bytes, 0),
    formula: parts.map(([, text]) => text).join(" + "),
  };
}

function pagedBytes(
  { plan: { experts } }: SpeedInput,
  sequences: number,
  sources: Sources | null,
): Derived {
  if (!experts || !sources) return { value: 0, formula: "no routed experts" };
  const { layers, stride } = experts;
  const distinct = distinctExperts(experts, sequences);
  return {
    value: layers * distinct * stride * (1 - sources.hits.value),
    formula: `${layers} layers x ${digits(distinct)} experts x ${decimal(stride)} x (1 - ${
      sources.hits.value.toFixed(3)
    })`,
  };
}

/** Seconds that a step waits for experts; nothing overlaps them. */
function waitOf(
  { plan, device, paging }: SpeedInput,
  sequences: number,
  sources: Sources,
): Derived {
  const { layers, stride } = plan.experts!;
  const distinct = distinctExperts(plan.experts!, sequences);
  const rates = pagingRates(device, paging);
  const bytes = layers * distinct * stride;
  const memory = bytes * sources.fromMemory / rates.memory;
  const disk = bytes * sources.fromDisk.value / rates.disk;
  const stops = paging === "host" ? 0 : layers * (1 - sources.hits.value ** distinct);
  const stopping = stops * STOP_SECONDS;
  const terms = [
    ...(memory > 0 ? [`${time(memory)} to page in at ${decimal(rates.memory)}/s`] : []),
    ...(disk > 0 ? [`${time(disk)} from the disk at ${decimal(rates.disk)}/s`] : []),
    ...(stops > 0 ? [`${time(stopping)} for ${digits(stops)} stops`] : []),
  ];
  return { value: memory + disk + stopping, formula: terms.join(" + ") };
}
