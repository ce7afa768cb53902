/** Eviction policies to compare with plain LRU. @module */
import { type EvictionPolicy, lowest, LruPolicy, type PolicyFactory } from "../experts/policy.ts";
import { neededExperts, type RoutingTrace } from "../experts/trace.ts";

/** Where a replay is; policies that look ahead read it. */
export interface ReplayClock {
  /** Index of the step that is being replayed. */
  step: number;
}

/** Makes a policy for a trace. */
export type ReplayPolicy = (trace: RoutingTrace, clock: ReplayClock) => PolicyFactory;

/** What can be compared. */
export const REPLAY_POLICIES = {
  lru: () => (slots) => new LruPolicy(slots),
  lfu: ({ header }) => (slots) => new LfuPolicy(slots, header.experts),
  pinned: (trace) => (slots, layer) => new PinnedPolicy(slots, heatOf(trace, layer)),
  optimal: (trace, clock) => (slots, layer) => new OptimalPolicy(slots, trace, { layer, clock }),
} as const satisfies Record<string, ReplayPolicy>;

/** Names of the policies. */
export type PolicyName = keyof typeof REPLAY_POLICIES;

/** The least often used expert gives way, counting also uses before it was evicted; of equals the oldest. */
class LfuPolicy implements EvictionPolicy {
  readonly #uses: Float64Array;
  /** Uses of the slot's expert, and a fraction for when it was used last. */
  readonly #rank: Float64Array;
  #clock = 0;

  constructor(slots: number, experts: number) {
    this.#uses = new Float64Array(experts);
    this.#rank = new Float64Array(slots);
  }

  /** See `EvictionPolicy`. */
  touched(slot: number, expert: number): void {
    const uses = ++this.#uses[expert]!;
    this.#rank[slot] = uses + ++this.#clock / 2 ** 30;
  }

  /** See `EvictionPolicy`. */
  victim(mayEvict: (slot: number) => boolean): number | undefined {
    return lowest(this.#rank, mayEvict);
  }
}

/** The hottest experts stay in half of the slots once they are in; LRU among the others. */
class PinnedPolicy implements EvictionPolicy {
  readonly #lru: LruPolicy;
  readonly #hottest: ReadonlySet<number>;
  readonly #isHot: Uint8Array;

  /** `heat` is how often each expert is used. */
  constructor(slots: number, heat: Float64Array) {
    this.#lru = new LruPolicy(slots);
    const order = [...heat.keys()].sort((a, b) => heat[b]! - heat[a]! || a - b);
    this.#hottest = new Set(order.slice(0, Math.floor(slots / 2)));
    this.#isHot = new Uint8Array(slots);
  }

  /** See `EvictionPolicy`. */
  touched(slot: number, expert: number): void {
    this.#isHot[slot] = Number(this.#hottest.has(expert));
    this.#lru.touched(slot);
  }

  /** See `EvictionPolicy`. A hot expert gives way only where a wave leaves nothing else. */
  victim(mayEvict: (slot: number) => boolean): number | undefined {
    return this.#lru.victim((slot) => this.#isHot[slot] === 0 && mayEvict(slot)) ??
      this.#lru.victim(mayEvict);
  }
}

/** Knows the future: the expert gives way whose next use is farthest. No policy hits more often. */
class OptimalPolicy implements EvictionPolicy {
  readonly #clock: ReplayClock;
  readonly #expertOf: Int32Array;
  /** For each expert the steps that need it, ascending, ended by Infinity. */
  readonly #uses: readonly number[][];
  /** For each expert the index in `#uses` from which to look. */
  readonly #next: Uint32Array;

  constructor(
    slots: number,
    { header, steps }: RoutingTrace,
    { layer, clock }: { readonly layer: number; readonly clock: ReplayClock },
  ) {
    this.#clock = clock;
    this.#expertOf = new Int32Array(slots).fill(-1);
    this.#uses = Array.from({ length: header.experts }, () => []);
    this.#next = new Uint32Array(header.experts);
    for (const [index, step] of steps.entries()) {
      for (const expert of neededExperts(step.layers[layer]!)) this.#uses[expert]!.push(index);
    }
    for (const uses of this.#uses) uses.push(Infinity);
  }

  /** See `EvictionPolicy`. */
  touched(slot: number, expert: number): void {
    this.#expertOf[slot] = expert;
  }

  /** See `EvictionPolicy`. */
  victim(mayEvict: (slot: number) => boolean): number | undefined {
    let best: number | undefined;
    let farthest = -1;
    this.#expertOf.forEach((expert, slot) => {
      const next = expert < 0 ? Infinity : this.#nextUse(expert);
      if (next <= farthest || !mayEvict(slot)) return;
      best = slot;
      farthest = next;
    });
    return best;
  }

  /** The first step after this one that needs the expert. */
  #nextUse(expert: number): number {
    const uses = this.#uses[expert]!;
    while (uses[this.#next[expert]!]! <= this.#clock.step) this.#next[expert]!++;
    return uses[this.#next[expert]!]!;
  }
}

/** Steps that need each expert of a layer, over the whole trace: the most that a recording could know. */
function heatOf({ header, steps }: RoutingTrace, layer: number): Float64Array {
  const heat = new Float64Array(header.experts);
  for (const step of steps) {
    for (const expert of neededExperts(step.layers[layer]!)) heat[expert]!++;
  }
  return heat;
}
