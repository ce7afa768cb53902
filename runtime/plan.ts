/**
 * The memory plan: what of the GPU budget goes to trunk, activations, states, KV and expert slots.
 * Numbers in, numbers out; made once at start, printed, and kept to.
 * @module
 */

/** Sizes in bytes unless said otherwise. */
export interface PlanInput {
  readonly budget: number;
  /** Largest storage binding. */
  readonly maxBinding: number;
  readonly trunk: number;
  /** Scratch of the largest step, logits and sampler tables. */
  readonly activations: number;
  /** Recurrent state of one sequence, all layers. */
  readonly stateSlot: number;
  /** One KV page, all layers. */
  readonly kvPage: number;
  /** The K (or V) half of one KV page in one layer: an arena of them must fit a binding. */
  readonly kvPageBinding: number;
  readonly pageTokens: number;
  readonly maxSequences: number;
  /** Tokens; null chooses the largest customary length that fits. */
  readonly context: number | null;
  /** Tokens the model knows. */
  readonly maxPositions: number;
  /** What running ahead takes beside; absent without it. */
  readonly ahead?: {
    /** The embedding table; 0 where it is the head. */
    readonly table: number;
    /** Earlier states that are kept for each running sequence. */
    readonly pasts: number;
    /** State of one slot in one layer: all slots must fit a binding. */
    readonly stateBinding: number;
  };
  /** Null for a model without routed experts. */
  readonly experts: {
    readonly layers: number;
    readonly count: number;
    readonly topK: number;
    readonly stride: number;
  } | null;
}

/** What was decided. */
export interface MemoryPlan {
  readonly budget: number;
  /** Longest prompt + output, tokens. */
  readonly contextLength: number;
  /** Pages of all arenas; each arena has the same number. */
  readonly kvPages: number;
  readonly kvArenas: number;
  /** Running sequences plus spare slots for checkpoints. */
  readonly stateSlots: number;
  /** Expert slots of each layer; 0 for a model without routed experts. */
  readonly expertSlots: number;
  /** Every expert has a slot. */
  readonly allResident: boolean;
  /** Rows of the printed table: purpose, what it holds, bytes. */
  readonly rows: readonly (readonly [purpose: string, detail: string, bytes: number])[];
  readonly total: number;
}

/** A budget that is too small for the model. */
export class PlanError extends Error {
  override name = "PlanError";
}

/** The longest context that is planned without being asked for, tokens. */
export const LONGEST_DEFAULT_CONTEXT = 32768;

const CUSTOMARY_CONTEXTS = [LONGEST_DEFAULT_CONTEXT, 16384, 8192, 4096, 2048, 1024, 512];
/** KV room, in tokens, for each further sequence that runs beside one of full length. */
const FURTHER_SEQUENCE_TOKENS = 4096;

/**
 * Plans the budget: everything that is always needed first, what is left goes to expert slots.
 * @throws {PlanError} naming the smallest budget that works
 */
export function planMemory(input: PlanInput): MemoryPlan {
  const longest = longestContext(input);
  if (input.context !== null && input.context > longest) {
    throw new PlanError(
      `Cannot plan a context of ${input.context} tokens: this model on this device takes at most ${longest}, lower --context`,
    );
  }
  const candidates = input.context !== null
    ? [input.context]
    : [...new Set(CUSTOMARY_CONTEXTS.map((length) => Math.min(length, longest)))];
  for (const contextLength of candidates) {
    const plan = planFor(input, contextLength);
    if (plan) return plan;
  }
  const shortest = candidates.at(-1)!;
  const least = Math.ceil((fixedBytes(input, shortest) + leastExperts(input)) / 2 ** 20);
  throw new PlanError(
    `Cannot plan ${
      size(input.budget)
    } of GPU memory: the smallest budget that works for a context ` +
      `of ${shortest} tokens is ${least}M, give --vram ${least}M or more`,
  );
}

/** The plan as a table for people. */
export function planTable(plan: MemoryPlan): string {
  const lines = [...plan.rows, ["total", `of ${size(plan.budget)}`, plan.total] as const];
  return lines.map(([purpose, detail, bytes]) =>
    `  ${purpose.padEnd(12)}${size(bytes).padStart(10)}  ${detail}`
  )
    .join("\n");
}

/** Bytes for people: 3 digits and a binary unit. */
export function size(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  let value = bytes;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${value >= 100 || unit === 0 ? value.toFixed(0) : value.toPrecision(3)} ${units[unit]}`;
}

function planFor(input: PlanInput, contextLength: number): MemoryPlan | null {
  const { experts, budget } = input;
  const fixed = fixedBytes(input, contextLength);
  if (fixed + leastExperts(input) > budget) return null;
  const perSlot = experts ? experts.layers * experts.stride : 0;
  const expertSlots = experts ? Math.min(experts.count, Math.floor((budget - fixed) / perSlot)) : 0;
  const allResident = !experts || expertSlots === experts.count;
  const { pages, arenas } = kvPages(input, contextLength);
  const slots = stateSlots(input);
  const table = input.ahead?.table ?? 0;
  const rows = [
    ["trunk", "mixers, shared experts, routers, norms, head", input.trunk],
    ...(table ? [["embedding", "the table, to run ahead of the host", table] as const] : []),
    ["activations", "the largest step, logits, sampling", input.activations],
    ["states", `${slots} recurrent slots`, slots * input.stateSlot],
    [
      "KV",
      `${pages * input.pageTokens} tokens, context up to ${contextLength}`,
      pages * input.kvPage,
    ],
    ...(experts
      ? [["experts", expertDetail(experts, expertSlots), expertSlots * perSlot] as const]
      : []),
  ] as const;
  return {
    budget,
    contextLength,
    kvPages: pages,
    kvArenas: arenas,
    stateSlots: slots,
    expertSlots,
    allResident,
    rows,
    total: fixed + expertSlots * perSlot,
  };
}

function expertDetail(experts: NonNullable<PlanInput["experts"]>, slots: number): string {
  const share = slots === experts.count ? "all resident" : "the rest is paged in on demand";
  return `${slots} of ${experts.count} slots in each of ${experts.layers} layers: ${share}`;
}

function fixedBytes(input: PlanInput, contextLength: number): number {
  return input.trunk + (input.ahead?.table ?? 0) + input.activations +
    stateSlots(input) * input.stateSlot + kvPages(input, contextLength).pages * input.kvPage;
}

function leastExperts({ experts }: PlanInput): number {
  return experts ? experts.topK * experts.layers * experts.stride : 0;
}

/** Every running sequence has a slot and those of its earlier states; a slot for each is spare for checkpoints. */
function stateSlots({ maxSequences, ahead }: PlanInput): number {
  return (2 + (ahead?.pasts ?? 0)) * maxSequences;
}

/**
 * Pages for one sequence of full length and shorter ones beside it, in whole pages per sequence; split into
 * equal arenas, each of which holds a sequence of full length.
 */
function kvPages(input: PlanInput, contextLength: number): { pages: number; arenas: number } {
  const { maxSequences, pageTokens } = input;
  const longest = Math.ceil(contextLength / pageTokens);
  const further = Math.ceil(Math.min(contextLength, FURTHER_SEQUENCE_TOKENS) / pageTokens);
  const wanted = longest + (maxSequences - 1) * further;
  const arenas = Math.ceil(wanted / arenaPages(input));
  return { pages: arenas * Math.max(longest, Math.ceil(wanted / arenas)), arenas };
}

/** Tokens of the longest context that the model has positions for, and a binding of the device pages. */
export function longestContext(input: Omit<PlanInput, "budget">): number {
  return Math.min(input.maxPositions, arenaPages(input) * input.pageTokens);
}

function arenaPages({ maxBinding, kvPageBinding }: Omit<PlanInput, "budget">): number {
  return Math.floor(maxBinding / kvPageBinding);
}
