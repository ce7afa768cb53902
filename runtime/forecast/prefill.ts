/** How fast prompts should be read. @module */
import { dispatchedOf, dispatchTerm, ratesOf, type SpeedInput } from "./decode.ts";
import { decimal, type Derived, percent, time } from "./derived.ts";
import { stepDispatches } from "./dispatches.ts";
import { BANDWIDTH_SHARE, FLOPS_SHARE, type KernelRates } from "./kernel_rates.ts";
import { cachedShare, distinctExperts, pagingRates } from "./paging.ts";
import { attentionFlops, deltaFlops, expertFlops, matrixBytes, sharedSlots } from "./traffic.ts";
import type { Subject } from "./subject.ts";

/** A prompt. */
export interface PrefillLoad {
  readonly tokens: number;
  /** Most rows of a step. */
  readonly chunk: number;
}

/** A part of a prompt: the steps are taken to be alike. */
interface PromptStep {
  readonly rows: number;
  /** Tokens before a row, on average. */
  readonly context: number;
}

/** Tokens a second of a prompt that nothing is known of. */
export function prefillSpeed(input: SpeedInput, { tokens, chunk }: PrefillLoad): Derived {
  const { device } = input;
  const rows = tokens / Math.ceil(tokens / chunk);
  const step = { rows, context: tokens / 2 };
  const shape = {
    rows: Math.ceil(rows),
    segments: 1,
    headRows: tokens <= chunk ? 1 : 0,
    maxContext: tokens,
  };
  const work = device.kernels ? kernelWork(input, step, device.kernels) : assumedWork(input, step);
  const starting = dispatchTerm(stepDispatches(dispatchedOf(input), shape), device);
  const paging = pagingOf(input, rows);
  const { token } = ratesOf(device);
  const seconds = work.value + starting.seconds + token + paging.value;
  const terms = [work.formula, starting.text, `${time(token)} between steps`];
  if (paging.value > 0) terms.push(paging.formula);
  return { value: rows / seconds, formula: `${Math.round(rows)} / (${terms.join(" + ")})` };
}

/** Multiplications and additions of one token after `context` others, without the head. */
export function flopsOfToken(subject: Subject, context: number): number {
  return 2 * subject.activeWeights + deltaFlops(subject) + attentionFlops(subject, context);
}

/** Whatever takes longer: reading everything once, or computing. */
function assumedWork(
  { subject, input: { trunk, experts }, device }: SpeedInput,
  { rows, context }: PromptStep,
): Derived {
  const flops = rows * flopsOfToken(subject, context);
  const distinct = experts ? distinctExperts(experts, rows) : 0;
  const bytes = trunk + (experts ? experts.layers * experts.stride * distinct : 0);
  const computing = flops / (device.flops * FLOPS_SHARE);
  const reading = bytes / (device.bandwidth * BANDWIDTH_SHARE);
  if (computing < reading) {
    return { value: reading, formula: `${time(reading)} to read ${decimal(bytes)}` };
  }
  const rate = `${percent(FLOPS_SHARE)} of ${decimal(device.flops, "FLOP")}/s`;
  return {
    value: computing,
    formula: `${time(computing)} for ${decimal(flops, "FLOP")} at ${rate}`,
  };
}

/** What each kind of kernel takes, at the rates that were measured. */
function kernelWork(
  { subject, choice, input }: SpeedInput,
  { rows, context }: PromptStep,
  rates: KernelRates,
): Derived {
  const { experts } = input;
  const { narrow, wide, head } = matrixBytes(subject, input, choice);
  // A weight of 8 bits is a byte, one of 16 two; each is multiplied and added.
  const matrices = 2 * rows * (narrow - head.narrow) / rates.narrow.many +
    rows * (wide - head.wide) / rates.wide.many;
  const { read, compute } = rates.experts.many;
  const distinct = experts ? distinctExperts(experts, rows) + sharedSlots(subject) : 0;
  const routed = experts
    ? experts.layers * distinct * experts.stride / read + rows * expertFlops(subject) / compute
    : 0;
  const state = rows * deltaFlops(subject) / rates.delta.chunk;
  const attending = rows * attentionFlops(subject, context) / rates.attention.prefill;
  const terms = [
    [matrices, "for matrices"],
    [routed, "for experts"],
    [state, "for recurrent states"],
    [attending, "for attention"],
  ] as const;
  return {
    value: terms.reduce((total, [seconds]) => total + seconds, 0),
    formula: terms.filter(([seconds]) => seconds > 0)
      .map(([seconds, text]) => `${time(seconds)} ${text}`).join(" + "),
  };
}

/** A step of many rows wants nearly every expert: it finds those that have a slot, and pages in the others. */
function pagingOf(
  { input: { experts }, plan: { expertSlots: slots }, device, paging }: SpeedInput,
  rows: number,
): Derived {
  if (!experts || slots >= experts.count) return { value: 0, formula: "" };
  const bytes = experts.layers * experts.stride * distinctExperts(experts, rows);
  const missing = bytes * (1 - slots / experts.count);
  const rates = pagingRates(device, paging);
  // Read in turn, more than the page cache holds: it keeps what is not asked for next.
  const held = paging === "host" ? 1 : cachedShare(experts, device);
  const [rate, where] = held < 1
    ? [rates.disk, ` from the disk: the page cache holds ${percent(held)} of the experts`]
    : [rates.memory, ""];
  return {
    value: missing / rate,
    formula: `${time(missing / rate)} to page in ${decimal(missing)} at ${decimal(rate)}/s${where}`,
  };
}
