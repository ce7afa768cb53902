import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import type { Checkpoint } from "../../../runtime/state/checkpoints.ts";
import { HybridCache } from "../../../runtime/state/hybrid_cache.ts";
import type { SequenceState } from "../../../runtime/state/sequence_cache.ts";
import { FakeMemory } from "./fake_memory.ts";

const PAGE_TOKENS = 4;

interface Live {
  readonly state: SequenceState;
  readonly tokens: number[];
  readonly owner: string;
  computed: number;
}

type Action =
  | {
    readonly kind: "start";
    readonly bits: number;
    readonly length: number;
    readonly owner: string;
    readonly run: boolean;
  }
  | { readonly kind: "step"; readonly which: number; readonly count: number; readonly bit: number }
  | { readonly kind: "checkpoint" | "finish"; readonly which: number }
  | { readonly kind: "settle"; readonly how: "arrive" | "fail" };

const which = fc.nat(7);
const action: fc.Arbitrary<Action> = fc.oneof(
  fc.record({
    kind: fc.constant("start" as const),
    bits: fc.constantFrom(0, 0, 0, 1, 2),
    length: fc.integer({ min: 1, max: 30 }),
    owner: fc.constantFrom("", "", "", "x"),
    run: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant("step" as const),
    which,
    count: fc.integer({ min: 1, max: 9 }),
    bit: fc.constantFrom(0, 0, 0, 1),
  }),
  fc.record({ kind: fc.constant("checkpoint" as const), which }),
  fc.record({ kind: fc.constant("finish" as const), which }),
  fc.record({
    kind: fc.constant("settle" as const),
    how: fc.constantFrom("arrive" as const, "arrive" as const, "fail" as const),
  }),
);

const room = fc.record({
  arenaPages: fc.constantFrom([24], [9], [8, 12], [5, 5, 5]),
  stateSlots: fc.integer({ min: 1, max: 6 }),
  byteLimit: fc.constantFrom(0, 4, 50, 200, 5000),
  sameHash: fc.boolean(),
});

/** What the cache must hold for exactly these sequences and its checkpoints, no more and no less. */
function checkBalance(cache: HybridCache, live: readonly Live[], limit: number): void {
  const entries = [...cache.checkpoints.entries()];
  const holders = new Map<string, number>();
  const hold = (arena: number, pages: readonly number[]) => {
    for (const page of pages) {
      holders.set(`${arena}.${page}`, (holders.get(`${arena}.${page}`) ?? 0) + 1);
    }
  };
  for (const { state } of live) hold(state.arena, state.pages);
  for (const { kv } of entries) if (kv.kind === "pages") hold(kv.arena, kv.pages);
  for (let arena = 0; arena < cache.pages.arenas; arena++) {
    let free = 0;
    for (let page = 0; page < cache.pages.total(arena); page++) {
      const want = holders.get(`${arena}.${page}`) ?? 0;
      assertEquals(cache.pages.holders(arena, page), want, `holders of page ${arena}.${page}`);
      if (want === 0) free++;
    }
    assertEquals(cache.pages.free(arena), free);
  }
  const slots = [
    ...live.map(({ state }) => state.stateWrite),
    ...entries.flatMap(({ state }) => state.kind === "slot" ? [state.slot] : []),
  ];
  assertEquals(new Set(slots).size, slots.length, "a slot has two holders");
  assertEquals(cache.slots.total - cache.slots.free, slots.length);
  const pinned = live.filter(({ state }) =>
    state.stateRead !== null && state.stateRead !== state.stateWrite
  );
  assertEquals(entries.reduce((sum, { pins }) => sum + pins, 0), pinned.length);
  assertEquals(cache.checkpoints.ramBytes, ramOf(entries));
  assert(cache.checkpoints.ramBytes <= limit);
}

function ramOf(entries: readonly Checkpoint[]): number {
  const states = entries.filter(({ state }) => state.kind === "ram").length;
  const pages = new Set(entries.flatMap(({ kv }) => kv.kind === "ram" ? kv.pages : []));
  return 4 * states + 4 * PAGE_TOKENS * pages.size;
}

/** Sequences over two ids, so that many share prefixes. */
function prompt(bits: number, length: number): number[] {
  return Array.from({ length }, (_, i) => i === 3 ? bits & 1 : i === 9 ? bits >> 1 : 0);
}

Deno.test("HybridCache balances, and every step reads what its own tokens wrote", async () => {
  let hits = 0;
  let restored = 0;
  await fc.assert(
    fc.asyncProperty(
      room,
      fc.array(action, { maxLength: 60, size: "max" }),
      async (size, actions) => {
        const memory = new FakeMemory(size.stateSlots, size.arenaPages, PAGE_TOKENS);
        const cache = new HybridCache({
          ...size,
          copies: memory,
          pageTokens: PAGE_TOKENS,
          ...(size.sameHash && { chain: () => 3 }),
        });
        const live: Live[] = [];
        for (const each of actions) {
          await act(each, cache, memory, live);
          checkBalance(cache, live, size.byteLimit);
        }
        hits += cache.counters.prefixHits;
        restored += cache.counters.statesRestored + cache.counters.pagesRestored;
        for (const { state } of live) cache.release(state);
        for (const entry of cache.checkpoints.entries()) cache.checkpoints.drop(entry);
        checkBalance(cache, [], 0);
        await memory.settle();
      },
    ),
    { numRuns: 400, seed: 20 },
  );
  // The property would hold for a cache that never finds anything.
  assert(hits > 120 && restored > 20, `${hits} hits, ${restored} restored`);
});

async function act(
  action: Action,
  cache: HybridCache,
  memory: FakeMemory,
  live: Live[],
): Promise<void> {
  if (action.kind === "settle") return await memory.settle(action.how);
  if (action.kind === "start") {
    const tokens = prompt(action.bits, action.length);
    const admitted = cache.admit(tokens, action.owner, true);
    if (!admitted) return;
    assert(admitted.cached < tokens.length);
    const { state, cached } = admitted;
    if (action.run) {
      memory.run(state, tokens, cached, tokens.length);
      cache.advanced(state);
    }
    const computed = action.run ? tokens.length : cached;
    live.push({ state, tokens, owner: action.owner, computed });
    return;
  }
  const sequence = live[action.which % live.length];
  if (!sequence) return;
  const { state, tokens, owner } = sequence;
  if (action.kind === "step") {
    const end = sequence.computed + action.count;
    while (tokens.length < end) tokens.push(action.bit);
    if (!cache.grow(state, end)) return;
    memory.run(state, tokens, sequence.computed, end);
    cache.advanced(state);
    sequence.computed = end;
    return;
  }
  cache.checkpoint(state, tokens.slice(0, sequence.computed), owner);
  if (action.kind === "checkpoint") return;
  cache.release(state);
  live.splice(live.indexOf(sequence), 1);
}
