/** What of a model fits a device, and how fast it should be. @module */
import { type MemoryPlan, PlanError, type PlanInput, planMemory } from "../plan.ts";
import { type PlanChoice, planInput } from "../plan_input.ts";
import { planAhead } from "../engine/model_plan.ts";
import { decodeSpeed, type PlannedSizes, type SpeedInput } from "./decode.ts";
import { decimal, type Derived, digits, time } from "./derived.ts";
import type { Device } from "./devices.ts";
import { memoryFormulas } from "./memory.ts";
import { hostHoldsAll, type Paging } from "./paging.ts";
import { prefillSpeed } from "./prefill.ts";
import type { Subject } from "./subject.ts";

/** What a forecast is asked for. */
export interface ForecastRequest {
  readonly subject: Subject;
  readonly choice: PlanChoice;
  /** Whether decoding runs ahead of the host, where there is room for what that takes. */
  readonly ahead: boolean;
  /** Null: the device, if it is known that the host's memory holds every expert. */
  readonly paging: Paging | null;
  readonly device: Device;
}

/** A speed with the range it may have. */
export interface Speed extends Derived {
  /** Where every text is about something else. */
  readonly least: number;
}

/** What may be expected. Sizes in bytes. */
export interface Forecast {
  readonly title: string;
  readonly device: Device;
  readonly sequences: number;
  readonly fits: boolean;
  /** Null where even the smallest budget is more than the device has. */
  readonly plan: MemoryPlan | null;
  /** Longest context of each sequence while all run at once, tokens; null where nothing fits. */
  readonly contextTogether: number | null;
  /** Formulas of the plan's rows by their purpose. */
  readonly memory: Readonly<Record<string, string>>;
  /** Memory of the device that is planned with. */
  readonly budget: Derived;
  /** Smallest budget that works. */
  readonly least: number;
  /** Budget that holds everything. */
  readonly everything: number;
  /** Seconds to load what every token needs. */
  readonly loadSeconds: Derived;
  /** What the rest is predicted for, where it fits. */
  readonly speed: ForecastSpeed | null;
  /** What to change, where something does not fit or is slow. */
  readonly advice: readonly string[];
}

/** Speeds of a model that fits. */
export interface ForecastSpeed {
  readonly bytesPerToken: Derived;
  /** Share of the experts of a token that have a slot. */
  readonly hitRate: Speed;
  /** Share of them that come from the disk. */
  readonly diskRate: Derived;
  readonly pagedBytesPerToken: Derived;
  /** Of one sequence at a short context, alone. */
  readonly tokensPerSecond: Speed;
  /** The same after a context of full length. */
  readonly atFullContext: Derived;
  /** Of all sequences together; at least, where they have nothing in common. */
  readonly together: Speed;
  /** If only the device's bandwidth counted and nothing were paged. */
  readonly ceiling: Derived;
  readonly prefillTokensPerSecond: Derived;
  /** Seconds to the first token of a prompt of `PROMPT` tokens. */
  readonly firstTokenSeconds: Derived;
}

/** Tokens of the prompt whose first token is predicted. */
export const PROMPT = 1000;

/** The forecast without advice: what advice is made from. */
export function estimate(request: ForecastRequest): Forecast {
  const { subject, choice, device } = request;
  const input = memoryInput(request);
  const budget = Math.floor(device.vram * device.usable);
  const plan = planWithAhead(request, planOrNull(input, budget));
  return {
    title: subject.title,
    device,
    sequences: choice.maxSequences,
    fits: plan !== null,
    plan,
    contextTogether: plan && Math.min(
      plan.contextLength,
      Math.floor(plan.kvPages * input.pageTokens / choice.maxSequences),
    ),
    memory: plan ? memoryFormulas(request, input, plan) : {},
    budget: {
      value: budget,
      formula: device.usable === 1
        ? "as given"
        : `${decimal(device.vram)} x ${device.usable}: drivers fail or spill close to the top`,
    },
    least: leastBudget(input),
    everything: planMemory({ ...input, budget: Infinity }).total,
    loadSeconds: loadSeconds(request, input, plan),
    speed: plan && speedOf(request, plan),
    advice: [],
  };
}

/** Everything that the budget has to hold. */
export function memoryInput(
  { subject, choice }: Pick<ForecastRequest, "subject" | "choice">,
): Omit<PlanInput, "budget"> {
  return planInput(subject.config, subject.tensors, choice);
}

/** Who brings missing experts. */
export function pagingOf(
  { paging, device }: ForecastRequest,
  experts: PlanInput["experts"],
): Paging {
  return paging ?? (experts && hostHoldsAll(experts, device) ? "host" : "paged");
}

/** What speeds are predicted from, with this plan. */
export function speedInput(request: ForecastRequest, plan: PlannedSizes): SpeedInput {
  const { subject, choice, device, ahead } = request;
  const input = memoryInput(request);
  return { subject, choice, input, plan, device, paging: pagingOf(request, input.experts), ahead };
}

/** As `memoryInput`, with what running ahead takes. */
function aheadInput({ subject, choice, ahead }: ForecastRequest): Omit<PlanInput, "budget"> {
  return planInput(subject.config, subject.tensors, { ...choice, ahead });
}

/** Running ahead takes what is left over, never what experts need. */
function planWithAhead(request: ForecastRequest, plain: MemoryPlan | null): MemoryPlan | null {
  return request.ahead && plain ? planAhead(aheadInput(request), plain) ?? plain : plain;
}

function loadSeconds(
  request: ForecastRequest,
  { trunk, experts }: Omit<PlanInput, "budget">,
  plan: MemoryPlan | null,
): Derived {
  const { disk } = request.device;
  const copied = experts && plan && !plan.allResident && pagingOf(request, experts) === "host";
  const further = copied
    ? `${decimal(experts.layers * experts.count * experts.stride)} of experts are copied to the ` +
      "host's memory as tokens ask for them, the rest while idle"
    : "no expert is read before a token asks for it";
  return {
    value: trunk / disk,
    formula: `${decimal(trunk)} / ${decimal(disk)}/s from the disk; ${further}`,
  };
}

function speedOf(request: ForecastRequest, plan: MemoryPlan): ForecastSpeed {
  const { choice } = request;
  const input = speedInput(request, plan);
  const one = decodeSpeed(input, { sequences: 1, context: 0 });
  const unconnected = decodeSpeed(input, { sequences: 1, context: 0, unconnected: true });
  const full = decodeSpeed(input, { sequences: 1, context: plan.contextLength });
  const sequences = choice.maxSequences;
  const together = decodeSpeed(input, { sequences, context: 0 });
  const apart = decodeSpeed(input, { sequences, context: 0, apart: true });
  const chunk = choice.chunkRows;
  const prefill = prefillSpeed(input, { tokens: PROMPT, chunk });
  const first = PROMPT / prefill.value + 1 / one.tokensPerSecond.value;
  const { hits, fromDisk } = one.sources ??
    { hits: { value: 1, formula: "no routed experts" }, fromDisk: { value: 0, formula: "none" } };
  return {
    bytesPerToken: one.bytes,
    hitRate: { ...hits, least: unconnected.sources?.hits.value ?? 1 },
    diskRate: fromDisk,
    pagedBytesPerToken: one.paged,
    tokensPerSecond: { ...one.tokensPerSecond, least: unconnected.tokensPerSecond.value },
    atFullContext: full.tokensPerSecond,
    together: { ...together.tokensPerSecond, least: apart.tokensPerSecond.value },
    ceiling: one.ceiling,
    prefillTokensPerSecond: prefill,
    firstTokenSeconds: {
      value: first,
      formula: `${PROMPT} tokens / ${digits(prefill.value)} + one step of ` +
        time(1 / one.tokensPerSecond.value),
    },
  };
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
  let [low, high] = [0, 2 ** 44];
  while (high - low > 2 ** 20) {
    const middle = (low + high) / 2;
    if (planOrNull(input, middle)) high = middle;
    else low = middle;
  }
  return Math.ceil(high / 2 ** 20) * 2 ** 20;
}
