/** What to change where a model does not fit or has to page. @module */
import { longestContext, size } from "../plan.ts";
import { ASSUMED } from "./devices.ts";
import { HOST_RESERVE } from "./paging.ts";
import { digits } from "./derived.ts";
import {
  estimate,
  type Forecast,
  type ForecastRequest,
  memoryInput,
  pagingOf,
} from "./estimate.ts";

/** Something a user can turn. */
interface Change {
  readonly flag: string;
  readonly apply: (request: ForecastRequest) => ForecastRequest;
  /** What it costs beside memory. */
  readonly cost?: string;
}

const LESS_EXACT = ", numbers less exact";

/** Shorter contexts worth trying, tokens. */
const CONTEXTS = [32_768, 16_384, 8192, 4096, 2048];
/** Rows of a long step. */
const LONG_STEP = 2048;
/** Speed-ups below this are not worth a word. */
const WORTH = 1.03;
/** Host memory that is sold, GiB. */
const HOST_SIZES = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768];

/** Lines for people, each with what it brings. */
export function adviceFor(request: ForecastRequest, result: Forecast): string[] {
  if (!result.plan) return toFit(request, result);
  return [
    ...sooner(request, result),
    ...longerSteps(request, result),
    ...hostMemory(request, result),
    ...card(request, result),
  ];
}

function toFit(request: ForecastRequest, { least, budget }: Forecast): string[] {
  const there = `at least ${size(least)} are needed, ${size(budget.value)} can be planned with`;
  const context = request.choice.context ?? longestContext(memoryInput(request));
  const shorter = CONTEXTS.filter((length) => length < context);
  const changes = changesOf(request, shorter);
  const single = changes.filter((change) => estimate(change.apply(request)).fits);
  if (single.length > 0) {
    return [
      there,
      ...single.map(({ flag, cost = "" }) => `${flag}: then it fits${cost}`),
    ];
  }
  const best = [...lastOfEach(changes)].reduce((all, change) => change.apply(all), request);
  const together = estimate(best);
  const flags = [...lastOfEach(changes)].map(({ flag }) => flag).join(" ");
  if (together.fits) return [there, `${flags}: together they make it fit`];
  const needed = `the smallest card for this is one of ${size(together.least / ASSUMED.usable)}`;
  return [there, flags === "" ? needed : `${needed}, with ${flags}`];
}

/** Settings that give more room to the experts, with the speed they bring. */
function sooner(request: ForecastRequest, { speed, plan }: Forecast): string[] {
  if (plan!.allResident) return [];
  const found: string[] = [];
  const shorter = CONTEXTS.find((length) => length <= plan!.contextLength / 4);
  for (const change of changesOf(request, shorter === undefined ? [] : [shorter])) {
    const other = estimate(change.apply(request));
    if (!other.speed || !other.plan) continue;
    const [now, then] = [speed!.tokensPerSecond.value, other.speed.tokensPerSecond.value];
    if (then < now * WORTH) continue;
    found.push(
      `${change.flag}: ${other.plan.expertSlots} slots a layer, ${digits(then)} tokens/s${
        change.cost ?? ""
      }`,
    );
  }
  return found;
}

/** A prompt pages in the experts once a step: longer steps, fewer times. */
function longerSteps(request: ForecastRequest, { speed, plan }: Forecast): string[] {
  if (plan!.allResident || request.choice.chunkRows >= LONG_STEP) return [];
  const other = estimate(withChoice({ chunkRows: LONG_STEP })(request));
  const then = other.speed?.prefillTokensPerSecond.value ?? 0;
  if (then < speed!.prefillTokensPerSecond.value * 1.2) return [];
  return [
    `--chunk ${LONG_STEP}: prompts at ${digits(then)} tokens/s, with ${
      other.plan!.expertSlots
    } slots a layer`,
  ];
}

/** Host memory for a copy of every expert, which the device reads by itself. */
function hostMemory(request: ForecastRequest, { speed, plan, device }: Forecast): string[] {
  const { experts } = memoryInput(request);
  if (!experts || plan!.allResident || pagingOf(request, experts) === "host") return [];
  const bytes = experts.layers * experts.count * experts.stride + HOST_RESERVE;
  const gib = HOST_SIZES.find((gib) => gib * 2 ** 30 >= bytes);
  const ram = gib === undefined ? bytes : gib * 2 ** 30;
  const other = estimate({ ...request, paging: null, device: { ...device, ram } }).speed!;
  const then = [other.tokensPerSecond.value, other.prefillTokensPerSecond.value] as const;
  const now = [speed!.tokensPerSecond.value, speed!.prefillTokensPerSecond.value] as const;
  if (then[0] < now[0] * WORTH && then[1] < now[1] * WORTH) return [];
  return [
    `--ram ${
      Math.ceil(ram / 2 ** 30)
    }G: a host with so much keeps a copy of every expert for the GPU ` +
    `to read, as far as the card can: ${digits(then[0])} tokens/s, prompts at ${digits(then[1])}`,
  ];
}

function card(request: ForecastRequest, { plan, everything, device }: Forecast): string[] {
  if (plan!.allResident) return [];
  const vram = everything / device.usable;
  const other = estimate({ ...request, device: { ...device, vram: Math.ceil(vram) } });
  const speed = other.speed?.tokensPerSecond.value;
  return [
    `everything on the GPU takes ${size(everything)}, a card of ${size(vram)}` +
    (speed === undefined ? "" : `: ${digits(speed)} tokens/s at the same bandwidth`),
  ];
}

/** Changes from the mildest; `contexts` in falling order. */
function changesOf(
  { choice }: ForecastRequest,
  contexts: readonly number[],
): Change[] {
  const changes: Change[] = [];
  if (choice.kv === "f32") {
    changes.push({ flag: "--kv f16", apply: withChoice({ kv: "f16" }), cost: LESS_EXACT });
  }
  for (const shorter of contexts) {
    changes.push({ flag: `--context ${shorter}`, apply: withChoice({ context: shorter }) });
  }
  if (choice.maxSequences > 1) {
    changes.push({ flag: "--sequences 1", apply: withChoice({ maxSequences: 1 }) });
  }
  if (choice.chunkRows > 128) {
    changes.push({ flag: "--chunk 128", apply: withChoice({ chunkRows: 128 }) });
  }
  if (choice.head !== "int8") {
    changes.push({ flag: "--head int8", apply: withChoice({ head: "int8" }), cost: LESS_EXACT });
  }
  return changes;
}

function withChoice(part: Partial<ForecastRequest["choice"]>): Change["apply"] {
  return (request) => ({ ...request, choice: { ...request.choice, ...part } });
}

/** Of changes of one flag the strongest. */
function lastOfEach(changes: readonly Change[]): Iterable<Change> {
  return new Map(changes.map((change) => [change.flag.split(" ")[0], change])).values();
}
