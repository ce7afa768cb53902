/** Says before anything is downloaded what of a model fits a device and how fast it should be. @module */
import type { ModelConfig } from "../model/config.ts";
import { type MemoryPlan, PlanError, type PlanInput, planMemory, size } from "../plan.ts";
import type { Device } from "./devices.ts";

/** A number with where it comes from. */
export interface Derived {
  readonly value: number;
  /** The formula with its numbers, for people. */
  readonly formula: string;
}

/** What may be expected. */
export interface Forecast {
  /** Null where even the smallest budget is more than the device has. */
  readonly plan: MemoryPlan | null;
  readonly fits: boolean;
  /** Smallest budget that works, bytes. */
  readonly least: number;
  /** Budget that holds everything, bytes. */
  readonly everything: number;
  readonly weightBytesPerToken: Derived;
  /** Share of the experts of a token that are resident. */
  readonly hitRate: Derived;
  readonly missedBytesPerToken: Derived;
  /** Of one sequence, at a short context. */
  readonly tokensPerSecond: Derived;
  /** What to change, where something does not fit or is slow. */
  readonly advice: readonly string[];
}

/** Share of a card that is planned with, as the engine does. */
const USABLE = 0.94;
/** Share of the bandwidth that kernels like these reach on hardware: published figures say 0.5 to 0.7. */
const EFFICIENCY = 0.6;
/** Seconds a dispatch, and dispatches of a DeltaNet layer, an attention layer and the head. */
const DISPATCH = { seconds: 3e-6, linear: 12, full: 13, head: 10 } as const;
/**
 * Hit rate of per-layer LRU over the resident share, measured by others on models of this kind (30B to 35B with
 * 128 or 256 experts, natural prompts); straight lines between.
 */
const HIT_RATES: readonly (readonly [share: number, hits: number])[] = [
  [0, 0],
  [0.06, 0.366],
  [0.19, 0.741],
  [0.27, 0.835],
  [0.39, 0.89],
  [0.63, 0.962],
  [1, 1],
];

/** The forecast for a model on a device; `input` as from `planInput`. */
export function forecast(
  config: ModelConfig,
  input: Omit<PlanInput, "budget">,
  device: Device,
): Forecast {
  const budget = Math.floor(device.vram * USABLE);
  const plan = planOrNull(input, budget);
  const least = leastBudget(input);
  const everything = planMemory({ ...input, budget: Infinity }).total;
  const share = !input.experts ? 1 : (plan?.expertSlots ?? 0) / input.experts.count;
  const weights = weightsOfToken(input);
  const hitRate = {
    value: interpolate(share),
    formula: `measured LRU curve at ${(100 * share).toFixed(0)} % resident`,
  };
  const missed = missesOfToken(input, hitRate.value);
  return {
    plan,
    fits: plan !== null,
    least,
    everything,
    weightBytesPerToken: weights,
    hitRate,
    missedBytesPerToken: missed,
    tokensPerSecond: speed(config, { weights: weights.value, missed: missed.value }, device),
    advice: adviceFor({ plan, least, everything, budget, context: input.context }),
  };
}

/** Hits over the resident share. */
export function interpolate(share: number): number {
  for (let i = 1; i < HIT_RATES.length; i++) {
    const [[x0, y0], [x1, y1]] = [HIT_RATES[i - 1]!, HIT_RATES[i]!];
    if (share <= x1) return y0 + (y1 - y0) * (share - x0) / (x1 - x0);
  }
  return 1;
}

function planOrNull(input: Omit<PlanInput, "budget">, budget: number): MemoryPlan | null {
  try {
    return planMemory({ ...input, budget });
  } catch (error) {
    if (error instanceof PlanError) return null;
    throw error;
  }
}

/** Found by halving: the plan alone knows what it needs. */
function leastBudget(input: Omit<PlanInput, "budget">): number {
  let [low, high] = [0, 2 ** 42];
  while (high - low > 2 ** 20) {
    const middle = (low + high) / 2;
    if (planOrNull(input, middle)) high = middle;
    else low = middle;
  }
  return Math.ceil(high / 2 ** 20) * 2 ** 20;
}

function weightsOfToken({ trunk, experts }: Omit<PlanInput, "budget">): Derived {
  const routed = experts ? experts.layers * experts.topK * experts.stride : 0;
  const chosen = experts
    ? ` + ${experts.layers} layers x ${experts.topK} experts x ${megabytes(experts.stride)}`
    : "";
  return { value: trunk + routed, formula: `trunk ${megabytes(trunk)}${chosen}` };
}

function missesOfToken({ experts }: Omit<PlanInput, "budget">, hits: number): Derived {
  if (!experts) return { value: 0, formula: "no routed experts" };
  const { layers, topK, stride } = experts;
  return {
    value: layers * topK * stride * (1 - hits),
    formula: `${layers} x ${topK} x ${megabytes(stride)} x (1 - ${hits.toFixed(3)})`,
  };
}

function speed(
  { layerKinds }: ModelConfig,
  { weights, missed }: { readonly weights: number; readonly missed: number },
  { bandwidth, link }: Device,
): Derived {
  const dispatches = DISPATCH.head + layerKinds.reduce((sum, kind) => sum + DISPATCH[kind], 0);
  const [reading, starting, paging] = [
    weights / (bandwidth * EFFICIENCY),
    dispatches * DISPATCH.seconds,
    missed / link,
  ];
  return {
    value: 1 / (reading + starting + paging),
    formula:
      `1 / (${ms(reading)} reading at ${100 * EFFICIENCY} % of ${gigabytes(bandwidth)}/s + ` +
      `${ms(starting)} for ${dispatches} dispatches + ${ms(paging)} paging at ${
        gigabytes(link)
      }/s)`,
  };
}

function adviceFor({ plan, least, everything, budget, context }: {
  readonly plan: MemoryPlan | null;
  readonly least: number;
  readonly everything: number;
  readonly budget: number;
  readonly context: number | null;
}): string[] {
  if (plan?.allResident) return [];
  const there = `${size(budget)} of this device can be planned with`;
  if (plan) {
    return [
      `everything resident takes ${size(everything)}, ${there}`,
      "a shorter --context or fewer --sequences leave more to the experts",
    ];
  }
  const cut = context === null || context > 4096 ? ["try --context 4096"] : [];
  return [`at least ${size(least)} are needed, ${there}`, ...cut, "try --sequences 1"];
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 2 : 0)} MB`;
}

function gigabytes(bytes: number): string {
  return `${(bytes / 1e9).toFixed(bytes < 1e11 ? 1 : 0)} GB`;
}

function ms(seconds: number): string {
  return `${(seconds * 1000).toPrecision(2)} ms`;
}
