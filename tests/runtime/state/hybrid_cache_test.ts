import { assert, assertEquals, assertThrows } from "@std/assert";
import { spy } from "@std/testing/mock";
import { HybridCache } from "../../../runtime/state/hybrid_cache.ts";
import type { Chain } from "../../../runtime/state/prefix_index.ts";
import type { Admitted, SequenceState } from "../../../runtime/state/sequence_cache.ts";
import { FakeMemory } from "./fake_memory.ts";

interface Bench {
  readonly cache: HybridCache;
  readonly memory: FakeMemory;
}

interface Room {
  readonly arenaPages?: readonly number[];
  readonly stateSlots?: number;
  readonly byteLimit?: number;
  readonly chain?: Chain;
}

/** Pages of 4 tokens (16 bytes), states of 4 bytes. */
function open(room: Room = {}): Bench {
  const { arenaPages = [64], stateSlots = 8, byteLimit = 10_000, chain } = room;
  const memory = new FakeMemory(stateSlots, arenaPages, 4);
  const parts = { arenaPages, pageTokens: 4, stateSlots, copies: memory, byteLimit };
  return { cache: new HybridCache({ ...parts, ...(chain && { chain }) }), memory };
}

const sequence = (length: number, first = 0): number[] =>
  Array.from({ length }, (_, i) => first + i);

/** Admits and computes all of `tokens`; fails without room. */
function compute({ cache, memory }: Bench, tokens: number[], owner = ""): Admitted {
  const admitted = cache.admit(tokens, owner, true);
  assert(admitted, "no room");
  memory.run(admitted.state, tokens, admitted.cached, tokens.length);
  cache.advanced(admitted.state);
  return admitted;
}

/** A sequence that comes, leaves a checkpoint and goes; returns how many of its tokens were cached. */
function visit(bench: Bench, tokens: number[], owner = ""): number {
  const { state, cached } = compute(bench, tokens, owner);
  bench.cache.checkpoint(state, tokens, owner);
  bench.cache.release(state);
  return cached;
}

function extend({ cache, memory }: Bench, state: SequenceState, tokens: number[], from: number) {
  assert(cache.grow(state, tokens.length));
  memory.run(state, tokens, from, tokens.length);
  cache.advanced(state);
}

Deno.test("HybridCache starts from the longest checkpoint that is shorter than the prompt", () => {
  const bench = open();
  assertEquals(visit(bench, sequence(6)), 0);
  assertEquals(visit(bench, sequence(11)), 6);
  assertEquals(visit(bench, sequence(11)), 6);
  assertEquals(visit(bench, sequence(12)), 11);
  assertEquals(visit(bench, [...sequence(11), 99, 98]), 11);
  assertEquals(visit(bench, [...sequence(8), 77]), 6);
  assertEquals(bench.cache.counters.prefixHits, 5);
  assertEquals(bench.cache.counters.prefixMisses, 1);
});

Deno.test("HybridCache.admit() starts from nothing when reuse is not wanted", () => {
  const bench = open();
  visit(bench, sequence(6));
  const admitted = bench.cache.admit(sequence(9), "", false)!;
  assertEquals([admitted.cached, admitted.state.stateRead], [0, null]);
});

Deno.test("HybridCache keeps owners apart", () => {
  const bench = open();
  visit(bench, sequence(6), "a");
  assertEquals(visit(bench, sequence(9), "b"), 0);
  assertEquals(visit(bench, sequence(9), ""), 0);
  assertEquals(visit(bench, sequence(9), "a"), 6);
});

Deno.test("HybridCache takes no harm from equal hashes of different tokens", () => {
  const bench = open({ chain: () => 1 });
  visit(bench, sequence(6));
  assertEquals(visit(bench, sequence(9, 50)), 0);
  assertEquals(visit(bench, sequence(9)), 6);
});

Deno.test("HybridCache lets two sequences go on from one prefix at once", () => {
  const bench = open();
  const base = sequence(6);
  visit(bench, base);
  const used = 64 - bench.cache.pages.free(0);
  const [one, two] = [[...base, 20, 21], [...base, 30, 31, 32]];
  const a = bench.cache.admit(one, "", true)!;
  const b = bench.cache.admit(two, "", true)!;
  assertEquals([a.cached, b.cached, a.state.stateRead], [6, 6, b.state.stateRead]);
  assertEquals(a.state.pages[0], b.state.pages[0]);
  assert(a.state.pages[1] !== b.state.pages[1]);
  assert(a.state.stateWrite !== b.state.stateWrite);
  // Each has a page of its own for tokens 4 to 7; b one more.
  assertEquals(64 - bench.cache.pages.free(0), used + 3);
  bench.memory.run(a.state, one, 6, 8);
  bench.cache.advanced(a.state);
  bench.memory.run(b.state, two, 6, 9);
  bench.cache.advanced(b.state);
  extend(bench, a.state, [...one, 22, 23], 8);
  extend(bench, b.state, [...two, 33], 9);
});

Deno.test("HybridCache keeps a checkpoint from being changed by the sequence that goes on", () => {
  const bench = open();
  const { state } = compute(bench, sequence(6));
  bench.cache.checkpoint(state, sequence(6), "");
  extend(bench, state, sequence(10), 6);
  bench.cache.checkpoint(state, sequence(10), "");
  extend(bench, state, sequence(11), 10);
  assertEquals(visit(bench, [...sequence(6), 50, 51]), 6);
  assertEquals(visit(bench, [...sequence(10), 60]), 10);
  extend(bench, state, sequence(15), 11);
});

Deno.test("HybridCache moves states to RAM when slots run short, and brings them back", async () => {
  const bench = open({ stateSlots: 2 });
  for (const first of [0, 100, 200]) visit(bench, sequence(6, first));
  assertEquals(bench.cache.counters.statesSaved, 2);
  // Its bytes are still under way: it cannot be used yet.
  assertEquals(bench.cache.checkpoints.longestPrefix(sequence(7), ""), null);
  await bench.memory.settle();
  assertEquals(visit(bench, sequence(9)), 6);
  assertEquals(bench.cache.counters.statesRestored, 1);
});

Deno.test("HybridCache moves KV pages to RAM when they run short, each page once", async () => {
  const bench = open({ arenaPages: [6] });
  visit(bench, sequence(8));
  visit(bench, sequence(14)); // shares the two full pages, four in all
  visit(bench, sequence(16, 100)); // needs four of six
  assertEquals(bench.cache.counters.pagesSaved, 2);
  // 2 shared pages + 2 more; the states are still in their slots.
  assertEquals(bench.cache.checkpoints.ramBytes, 4 * 16);
  await bench.memory.settle();
  assertEquals(visit(bench, sequence(15)), 14);
  assertEquals(bench.cache.counters.pagesRestored, 1);
});

Deno.test("HybridCache does not take a page's old copy for its new contents", async () => {
  const bench = open({ arenaPages: [3] });
  for (const first of [0, 100, 200]) visit(bench, sequence(8, first));
  assertEquals(bench.cache.counters.pagesSaved, 2);
  await bench.memory.settle();
  assertEquals(visit(bench, sequence(9, 100)), 8);
});

Deno.test("HybridCache does not save a page that a running sequence appends to", async () => {
  const bench = open({ arenaPages: [6] });
  const { state } = compute(bench, sequence(6));
  bench.cache.checkpoint(state, sequence(6), "");
  visit(bench, sequence(8, 100));
  const big = bench.cache.admit(sequence(16, 200), "", true)!;
  assertEquals(bench.cache.counters.pagesSaved, 1);
  bench.cache.release(big.state);
  extend(bench, state, sequence(8), 6);
  bench.cache.checkpoint(state, sequence(8), "");
  bench.cache.release(state);
  visit(bench, sequence(24, 300));
  await bench.memory.settle();
  assertEquals(visit(bench, sequence(9)), 8);
});

Deno.test("HybridCache does not share a copy that failed to arrive", async () => {
  const bench = open({ arenaPages: [5] });
  visit(bench, sequence(6)); // two pages
  const { state } = compute(bench, sequence(10)); // shares one of them, two more
  bench.cache.checkpoint(state, sequence(10), "");
  const other = bench.cache.admit(sequence(8, 100), "", true)!; // saves the first checkpoint
  assertEquals(bench.cache.counters.pagesSaved, 1);
  await bench.memory.settle("fail");
  bench.cache.release(state);
  bench.cache.release(other.state);
  visit(bench, sequence(20, 200)); // saves the second
  await bench.memory.settle();
  assertEquals(visit(bench, sequence(11)), 10);
});

Deno.test("HybridCache leaves a checkpoint in place until the step that reads it", () => {
  const bench = open({ arenaPages: [4] });
  visit(bench, sequence(6));
  const { state } = bench.cache.admit(sequence(7), "", true)!; // one page shared, one copied
  assertEquals(bench.cache.usage(), 0.75);
  assertEquals([bench.cache.grow(state, 12), bench.cache.grow(state, 16)], [true, false]);
  assertEquals(bench.cache.checkpoints.size, 1);
  bench.memory.run(state, sequence(7), 6, 7);
  bench.cache.advanced(state);
  assertEquals(bench.cache.grow(state, 16), true);
});

Deno.test("HybridCache is right after a checkpoint was evicted and is asked for again", () => {
  const bench = open({ stateSlots: 2, byteLimit: 0 });
  visit(bench, sequence(6));
  visit(bench, sequence(6, 100));
  assertEquals(bench.cache.counters.checkpointsDropped, 1);
  assertEquals(visit(bench, sequence(9)), 0);
  assertEquals(visit(bench, sequence(10)), 9);
});

Deno.test("HybridCache drops what was unused for longest when RAM is full", async () => {
  // Room for two states of 4 bytes.
  const bench = open({ stateSlots: 2, byteLimit: 8 });
  for (const first of [0, 100, 200]) visit(bench, sequence(6, first));
  await bench.memory.settle();
  assertEquals(visit(bench, sequence(7)), 6); // the oldest, now the newest
  await bench.memory.settle();
  assertEquals(bench.cache.checkpoints.ramBytes, 8);
  assertEquals(bench.cache.checkpoints.longestPrefix(sequence(7, 100), ""), null);
});

Deno.test("HybridCache saves straight to RAM when running sequences hold every slot", async () => {
  const bench = open({ stateSlots: 1 });
  const { state } = compute(bench, sequence(6));
  bench.cache.checkpoint(state, sequence(6), "");
  assertEquals(state.stateRead, state.stateWrite);
  extend(bench, state, sequence(9), 6);
  assertEquals(bench.cache.admit(sequence(8), "", true), null);
  bench.cache.release(state);
  await bench.memory.settle();
  assertEquals(visit(bench, sequence(8)), 6);
});

Deno.test("HybridCache forgets a checkpoint whose bytes never arrive", async () => {
  const bench = open({ stateSlots: 2 });
  for (const first of [0, 100, 200]) visit(bench, sequence(6, first));
  await bench.memory.settle("fail");
  assertEquals(visit(bench, sequence(9)), 0);
  const kept = [...bench.cache.checkpoints.entries()].map(({ tokens }) => tokens[0]);
  assertEquals(kept.filter((first) => first === 0).length, 1);
});

Deno.test("HybridCache admits as many as there are slots and pages, then says no and takes nothing", () => {
  const bench = open({ stateSlots: 3, arenaPages: [4, 3] });
  const first = bench.cache.admit(sequence(12), "", true)!;
  const second = bench.cache.admit(sequence(12, 100), "", true)!;
  assertEquals([first.state.arena, second.state.arena], [0, 1]);
  assertEquals(bench.cache.admit(sequence(5, 200), "", true), null);
  const third = bench.cache.admit(sequence(4, 200), "", true)!;
  assertEquals(bench.cache.admit(sequence(1, 300), "", true), null);
  assertEquals([bench.cache.usage(), bench.cache.slots.free], [1, 0]);
  assertEquals(bench.cache.grow(third.state, 4), true);
  assertEquals(bench.cache.grow(third.state, 5), false);
  bench.cache.release(first.state);
  assertEquals(bench.cache.grow(third.state, 16), true);
  bench.cache.release(second.state);
  bench.cache.release(third.state);
  assertEquals([bench.cache.usage(), bench.cache.slots.free], [0, 3]);
  assertThrows(() => bench.cache.release(third.state), RangeError, "it was released");
});

Deno.test("HybridCache.checkpoint() before the first step keeps nothing", () => {
  const bench = open();
  visit(bench, sequence(6));
  const { state } = bench.cache.admit(sequence(9), "", true)!;
  bench.cache.checkpoint(state, sequence(6), "");
  bench.cache.checkpoint(state, sequence(7), "");
  bench.cache.release(state);
  assertEquals([bench.cache.checkpoints.size, bench.cache.counters.checkpoints], [1, 1]);
});

Deno.test("HybridCache keeps one checkpoint of the same tokens", () => {
  const bench = open();
  for (let i = 0; i < 3; i++) visit(bench, sequence(6));
  assertEquals([bench.cache.checkpoints.size, bench.cache.counters.checkpoints], [1, 1]);
});

Deno.test("HybridCache counts its pages anew only when something has changed", () => {
  const bench = open({ arenaPages: [6] });
  visit(bench, sequence(8));
  const running = compute(bench, sequence(12, 100));
  using holders = spy(bench.cache.pages, "holders");
  const ask = () => bench.cache.admit(sequence(20, 200), "", true);
  assertEquals(ask(), null);
  const counted = holders.calls.length;
  assert(counted > 0);
  assertEquals(ask(), null);
  assertEquals(holders.calls.length, counted);
  bench.cache.release(running.state);
  assert(ask());
});
