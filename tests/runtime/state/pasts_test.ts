import { assert, assertEquals } from "@std/assert";
import { HybridCache } from "../../../runtime/state/hybrid_cache.ts";
import type { SequenceState } from "../../../runtime/state/sequence_cache.ts";
import { FakeMemory } from "./fake_memory.ts";

const tokens = Array.from({ length: 40 }, (_, i) => i);

/** A sequence of the first 4 tokens, computed, with `pasts` earlier states kept. */
function open({ pasts = 2, stateSlots = 6 } = {}) {
  const memory = new FakeMemory(stateSlots, [64], 4);
  const parts = { arenaPages: [64], pageTokens: 4, stateSlots, copies: memory, byteLimit: 1000 };
  const cache = new HybridCache({ ...parts, pasts });
  const { state } = cache.admit(tokens.slice(0, 4), "", true)!;
  /** Runs a batch from `from` to `to`, which `FakeMemory` checks. */
  const run = (from: number, to: number) => {
    assert(cache.grow(state, to));
    cache.keepPast(state, from);
    memory.run(state, tokens, from, to);
    cache.advanced(state);
  };
  memory.run(state, tokens, 0, 4);
  cache.advanced(state);
  return { cache, memory, state, run };
}

/** Slots that a running sequence and the checkpoints hold, once it is released. */
function heldAfter(cache: HybridCache, state: SequenceState): number {
  cache.release(state);
  for (const { pins } of cache.checkpoints.entries()) assertEquals(pins, 0);
  return cache.slots.total - cache.slots.free;
}

Deno.test("HybridCache.rewind() goes back to the newest kept state that is not too long", () => {
  for (const [wanted, found] of [[30, 12], [15, 12], [12, 12], [11, 8], [8, 8]] as const) {
    const { cache, state, run } = open();
    run(4, 8);
    run(8, 12);
    run(12, 20);
    assertEquals(cache.rewind(state, wanted), found);
    run(found, found + 3);
    run(found + 3, 25);
    assertEquals(heldAfter(cache, state), 0);
  }
});

Deno.test("HybridCache.rewind() finds nothing that is too old or was never kept, and changes nothing", () => {
  const { cache, state, run } = open();
  assertEquals(cache.rewind(state, 4), null);
  run(4, 8);
  run(8, 12);
  run(12, 16);
  assertEquals(cache.rewind(state, 7), null);
  run(16, 20);
  const none = open({ pasts: 0 });
  none.run(4, 8);
  assertEquals(none.state.stateRead, none.state.stateWrite);
  assertEquals(none.cache.rewind(none.state, 4), null);
});

Deno.test("HybridCache goes back to a checkpoint, which stays in place until then", () => {
  const { cache, memory, state, run } = open({ stateSlots: 4 });
  cache.checkpoint(state, tokens.slice(0, 4), "");
  run(4, 8);
  run(8, 10);
  assertEquals(cache.rewind(state, 7), 4);
  run(4, 6);
  assertEquals(cache.rewind(state, 4), 4);
  cache.checkpoint(state, tokens.slice(0, 4), "");
  assertEquals(cache.checkpoints.size, 1);
  assertEquals(heldAfter(cache, state), 1);
  const { state: next, cached } = cache.admit(tokens.slice(0, 9), "", true)!;
  assertEquals(cached, 4);
  memory.run(next, tokens, 4, 9);
});

Deno.test("HybridCache keeps a rewound state as a checkpoint", () => {
  const { cache, memory, state, run } = open();
  run(4, 8);
  run(8, 16);
  assertEquals(cache.rewind(state, 10), 8);
  memory.run(state, tokens, 8, 9);
  cache.advanced(state);
  cache.checkpoint(state, tokens.slice(0, 9), "");
  cache.release(state);
  const next = cache.admit(tokens.slice(0, 12), "", true)!;
  assertEquals(next.cached, 9);
  memory.run(next.state, tokens, 9, 12);
});

Deno.test("HybridCache goes on without an earlier state where no slot is left for it", () => {
  const { cache, state, run } = open({ stateSlots: 1 });
  run(4, 8);
  run(8, 12);
  assertEquals(cache.rewind(state, 8), null);
  assertEquals(heldAfter(cache, state), 0);
});

Deno.test("HybridCache does not keep one state twice", () => {
  const { cache, state, run } = open({ pasts: 2, stateSlots: 3 });
  run(4, 8);
  cache.keepPast(state, 8);
  run(8, 12);
  run(12, 16);
  assertEquals(cache.rewind(state, 9), 8);
  assertEquals(heldAfter(cache, state), 0);
});
