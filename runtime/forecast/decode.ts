/** How fast tokens should come. @module */
import { MAX_AHEAD, MOST_MS } from "../engine/pace.ts";
import type { MemoryPlan, PlanInput } from "../plan.ts";
import type { PlanChoice } from "../plan_input.ts";
import { decimal, type Derived, digits, percent, time } from "./derived.ts";
import type { Device } from "./devices.ts";
import { expertDispatches, stepDispatches } from "./dispatches.ts";
import { assumedRates, BANDWIDTH_SHARE, type KernelRates, productSeconds } from "./kernel_rates.ts";
import { distinctExperts, type Paging, pagingRates, type Sources, sourcesOf } from "./paging.ts";
import type { Subject } from "./subject.ts";
import { matrixBytes, sharedSlots } from "./traffic.ts";

/** What a speed is predicted from. */
export interface SpeedInput {
  readonly subject: Subject;
  readonly choice: PlanChoice;
  /** What the plan was made from. */
  readonly input: Omit<PlanInput, "budget">;
  readonly plan: PlannedSizes;
  readonly device: Device;
  readonly paging: Paging;
  /** Whether decoding runs ahead of the host while every expert is resident. */
  readonly ahead: boolean;
}

/** The memory plan as far as speed goes. */
export type PlannedSizes = Pick<
  MemoryPlan,
  "contextLength" | "expertSlots" | "kvPages" | "kvArenas"
>;

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
  /** Dispatches of a step without stops. */
  readonly dispatches: number;
  /** Tokens a second if only the card's bandwidth counted and nothing were paged. */
  readonly ceiling: Derived;
}

/** Part of a step's time: what it takes and why. */
interface Term {
  readonly seconds: number;
  readonly text: string;
}

/** The speed of decoding. */
export function decodeSpeed(input: SpeedInput, load: DecodeLoad): DecodeSpeed {
  const { input: { experts }, plan: { expertSlots: slots }, device, paging } = input;
  const { sequences } = load;
  const bytes = bytesOfStep(input, load);
  const sources = experts && sourcesOf({ ...load, experts, slots, device, paging });
  const shape = shapeOf(load);
  const dispatches = stepDispatches(dispatchedOf(input), shape);
  const terms = [
    ...(device.kernels ? kernelTerms(input, load, device.kernels) : [readingTerm(bytes, device)]),
    dispatchTerm(dispatches, device),
    ...(experts && sources && sources.hits.value < 1 ? waitTerms(input, load, sources) : []),
  ];
  const between = tokenTerm(input, sum(terms));
  const seconds = sum(terms) + between.seconds;
  const texts = [...terms, between].filter((term) => term.seconds > 0).map(({ text }) => text);
  return {
    tokensPerSecond: {
      value: sequences / seconds,
      formula: `${sequences} / (${texts.join(" + ")})`,
    },
    bytes,
    paged: pagedBytes(input, sequences, sources),
    sources,
    dispatches,
    ceiling: {
      value: sequences * device.bandwidth / bytes.value,
      formula: `${sequences > 1 ? `${sequences} x ` : ""}${decimal(device.bandwidth)}/s / ${
        decimal(bytes.value)
      }`,
    },
  };
}

/** What is dispatched, as the engine would have it. */
export function dispatchedOf({ subject, choice, plan, device, paging, ahead, input }: SpeedInput) {
  const resident = !input.experts || plan.expertSlots >= input.experts.count;
  const { software } = device;
  const fills = paging === "host" && !resident;
  return { subject, choice, plan, software, fills, ahead: ahead && resident };
}

/** The rates to go by. */
export function ratesOf(device: Device): KernelRates {
  return device.kernels ?? assumedRates(device);
}

/** The term of so many dispatches. */
export function dispatchTerm(dispatches: number, device: Device): Term {
  const seconds = dispatches * ratesOf(device).dispatch;
  return { seconds, text: `${time(seconds)} for ${dispatches} dispatches` };
}

function shapeOf({ sequences, context }: DecodeLoad) {
  return { rows: sequences, segments: sequences, headRows: sequences, maxContext: context + 1 };
}

function sum(terms: readonly Term[]): number {
  return terms.reduce((total, { seconds }) => total + seconds, 0);
}

function readingTerm({ value }: Derived, { bandwidth }: Device): Term {
  const seconds = value / (bandwidth * BANDWIDTH_SHARE);
  const text = `${time(seconds)} to read at ${percent(BANDWIDTH_SHARE)} of ${decimal(bandwidth)}/s`;
  return { seconds, text };
}

/** What each kind of kernel takes, at the rates that were measured. */
function kernelTerms(
  { subject, choice, input }: SpeedInput,
  { sequences: rows, context }: DecodeLoad,
  rates: KernelRates,
): Term[] {
  const { narrow, wide } = matrixBytes(subject, input, choice);
  const { experts, stateSlot, kvPage, pageTokens } = input;
  const matrices = productSeconds(rates.narrow, narrow, rows) +
    productSeconds(rates.wide, wide, rows);
  const state = 2 * rows * stateSlot / rates.delta.step;
  const attending = rows * context * kvPage / pageTokens / rates.attention.decode;
  return [
    { seconds: matrices, text: `${time(matrices)} for matrices` },
    ...(experts ? [expertTerm(subject, experts, rows, rates)] : []),
    { seconds: state, text: `${time(state)} for recurrent states` },
    { seconds: attending, text: `${time(attending)} for attention` },
  ];
}

function expertTerm(
  subject: Subject,
  experts: NonNullable<PlanInput["experts"]>,
  rows: number,
  { experts: { one, several, tile } }: KernelRates,
): Term {
  const shared = sharedSlots(subject) * Math.ceil(rows / tile);
  const read = distinctExperts(experts, rows) + shared;
  const seconds = experts.layers * read * experts.stride / (rows === 1 ? one : several);
  return { seconds, text: `${time(seconds)} for ${digits(read)} experts a layer` };
}

/** What passes between steps; with steps ahead of the host, a part of what passes between batches of them. */
function tokenTerm(input: SpeedInput, step: number): Term {
  const { ahead } = dispatchedOf(input);
  const { token } = ratesOf(input.device);
  const steps = ahead ? Math.max(1, Math.min(MAX_AHEAD, Math.floor(MOST_MS / 1000 / step))) : 1;
  const seconds = token / steps;
  const shared = steps > 1 ? `, one in ${steps} steps` : "";
  return { seconds, text: `${time(seconds)} between steps${shared}` };
}

function bytesOfStep(
  { input: { trunk, experts, stateSlot, kvPage, pageTokens } }: SpeedInput,
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
    value: parts.reduce((total, [bytes]) => total + bytes, 0),
    formula: parts.map(([, text]) => text).join(" + "),
  };
}

function pagedBytes(
  { input: { experts } }: SpeedInput,
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

/** What a step waits for experts; nothing overlaps them. */
function waitTerms(input: SpeedInput, load: DecodeLoad, sources: Sources): Term[] {
  const { input: { experts }, device, paging } = input;
  const { layers, stride } = experts!;
  const distinct = distinctExperts(experts!, load.sequences);
  const rates = pagingRates(device, paging);
  const bytes = layers * distinct * stride;
  const memory = bytes * sources.fromMemory / rates.memory;
  const disk = bytes * sources.fromDisk.value / rates.disk;
  const stops = paging === "host" ? 0 : layers * (1 - sources.hits.value ** distinct);
  const { token, dispatch } = ratesOf(device);
  // A stop is a read-back and a submission more, and dispatches the layer's experts once more.
  const again = stops === 0 ? 0 : expertDispatches(dispatchedOf(input), shapeOf(load));
  const stopping = stops * (token + again * dispatch);
  return [
    { seconds: memory, text: `${time(memory)} to page in at ${decimal(rates.memory)}/s` },
    { seconds: disk, text: `${time(disk)} from the disk at ${decimal(rates.disk)}/s` },
    { seconds: stopping, text: `${time(stopping)} for ${digits(stops)} stops` },
  ];
}
