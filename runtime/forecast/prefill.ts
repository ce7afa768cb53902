/** How fast prompts should be read. @module */
import type { ModelConfig } from "../model/config.ts";
import { BANDWIDTH_SHARE, dispatchesOf, type SpeedInput } from "./decode.ts";
import { decimal, type Derived, percent, time } from "./derived.ts";
import { cachedShare, distinctExperts, pagingRates } from "./paging.ts";

/** A prompt. */
export interface PrefillLoad {
  readonly tokens: number;
  /** Rows of a step. */
  readonly chunk: number;
}

/** Share of a card's f32 rate that kernels without matrix units reach: published figures say 0.2 to 0.4. */
const FLOPS_SHARE = 0.22;

/** Tokens a second of a prompt that nothing is known of. */
export function prefillSpeed(
  input: SpeedInput & { readonly weights: number },
  { tokens, chunk }: PrefillLoad,
): Derived {
  const { config, plan: { trunk, experts }, device, weights } = input;
  const rows = Math.min(tokens, chunk);
  const flops = rows * flopsOfToken(config, weights, tokens / 2);
  const distinct = experts ? distinctExperts(experts, rows) : 0;
  const expertBytes = experts ? experts.layers * experts.stride * distinct : 0;
  const computing = flops / (device.flops * FLOPS_SHARE);
  const reading = (trunk + expertBytes) / (device.bandwidth * BANDWIDTH_SHARE);
  const starting = 2 * dispatchesOf(config) * device.dispatch;
  const paging = pagingOf(input, expertBytes);
  const seconds = Math.max(computing, reading) + starting + paging.value;
  const slower = computing >= reading
    ? `${time(computing)} for ${decimal(flops, "FLOP")} at ${percent(FLOPS_SHARE)} of ${
      decimal(device.flops, "FLOP")
    }/s`
    : `${time(reading)} to read ${decimal(trunk + expertBytes)}`;
  const terms = [slower, `${time(starting)} for dispatches`];
  if (paging.value > 0) terms.push(paging.formula);
  return { value: rows / seconds, formula: `${rows} / (${terms.join(" + ")})` };
}

/** Multiplications and additions of one token after `context` others, without the head. */
export function flopsOfToken(
  { delta, attention, layerKinds }: ModelConfig,
  weights: number,
  context: number,
): number {
  const full = layerKinds.filter((kind) => kind === "full").length;
  const linear = layerKinds.length - full;
  // Read, correct and read again a state of keyDim x valueDim: three products, a multiply-add counts as two.
  const state = 6 * linear * delta.valueHeads * delta.keyDim * delta.valueDim;
  return 2 * weights + state + 4 * full * attention.heads * attention.headDim * context;
}

/** A step of many rows wants nearly every expert: it finds those that have a slot, and pages in the others. */
function pagingOf(
  { plan: { experts }, slots, device, paging }: SpeedInput,
  bytes: number,
): Derived {
  if (!experts || slots >= experts.count) return { value: 0, formula: "" };
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
