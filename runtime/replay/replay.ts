/** Feeds a routing trace to the pager that the engine uses, with no GPU and no files behind it. @module */
import { ExpertPager, type PagingCounters } from "../experts/pager.ts";
import { neededExperts, type RoutingTrace } from "../experts/trace.ts";
import { type PolicyName, REPLAY_POLICIES } from "./policies.ts";

/** What a trace comes to with so many slots. */
export interface ReplayResult {
  readonly policy: PolicyName;
  readonly slots: number;
  /** Slots as a share of a layer's experts. */
  readonly residency: number;
  /** The engine's counters, had it run the trace from a cold start. */
  readonly counters: Readonly<PagingCounters>;
  /** Share of needed experts that were there. */
  readonly hitRate: number;
  /** The same over the second half of the steps: what is left when the slots are warm. */
  readonly lateHitRate: number;
}

/**
 * Replays a trace with `slots` slots a layer. A load counts `expertBytes` bytes.
 * @throws {RangeError} if the slots do not hold one row's experts, or exceed the experts
 */
export async function replayTrace(
  trace: RoutingTrace,
  { policy, slots, expertBytes = 1 }: {
    readonly policy: PolicyName;
    readonly slots: number;
    readonly expertBytes?: number;
  },
): Promise<ReplayResult> {
  const { header, steps } = trace;
  const clock = { step: 0 };
  const pager = new ExpertPager({
    ...header,
    slots,
    policy: REPLAY_POLICIES[policy](trace, clock),
    load: () => expertBytes,
    writeTable: () => {},
  });
  const half = Math.floor(steps.length / 2);
  let early = { ...pager.counters };
  for (const [index, { layers }] of steps.entries()) {
    clock.step = index;
    if (index === half) early = { ...pager.counters };
    for (const [layer, ids] of layers.entries()) await replayLayer(pager, layer, ids);
  }
  const { counters } = pager;
  return {
    policy,
    slots,
    residency: slots / header.experts,
    counters,
    hitRate: rate(counters.hits, counters.misses),
    lateHitRate: rate(counters.hits - early.hits, counters.misses - early.misses),
  };
}

/** The slots that stand for a share of the experts; one row's experts at least. */
export function slotsFor({ header }: RoutingTrace, residency: number): number {
  return Math.min(header.experts, Math.max(header.topK, Math.round(residency * header.experts)));
}

/** Experts needed, summed over layers and steps: the loads of an engine that keeps none. */
export function neededLoads({ steps }: RoutingTrace): number {
  return steps.flatMap(({ layers }) => layers)
    .reduce((sum, ids) => sum + neededExperts(ids).length, 0);
}

/** As the engine's stage does it: what is resident is only touched. */
async function replayLayer(pager: ExpertPager, layer: number, ids: Uint16Array): Promise<void> {
  if (pager.isResident(layer, ids)) return pager.touch(layer, ids);
  for await (const _wave of pager.resolve(layer, ids)) { /* nothing to compute */ }
}

function rate(hits: number, misses: number): number {
  return hits + misses === 0 ? 1 : hits / (hits + misses);
}
