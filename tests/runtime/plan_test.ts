import { assert, assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { PlanError, type PlanInput, planMemory, planTable, size } from "../../runtime/plan.ts";

const MIB = 2 ** 20;

const input: PlanInput = {
  budget: 1000 * MIB,
  maxBinding: 128 * MIB,
  trunk: 200 * MIB,
  activations: 50 * MIB,
  stateSlot: 10 * MIB,
  kvPage: 32 * 1024,
  kvPageBinding: 16 * 1024,
  pageTokens: 32,
  maxSequences: 4,
  context: 2048,
  maxPositions: 262144,
  experts: { layers: 10, count: 64, topK: 8, stride: MIB },
};

Deno.test("planMemory() gives what is left to expert slots and never passes the budget", () => {
  const plan = planMemory(input);
  // 200 + 50 + 8 x 10 + (64 + 3 x 64 pages) x 32 KiB = 338 MiB; the rest holds 66 slots of 10 MiB.
  assertEquals(plan.kvPages, 4 * 64);
  assertEquals(plan.stateSlots, 8);
  assertEquals(plan.expertSlots, 64);
  assert(plan.allResident);
  assert(plan.total <= input.budget);
  const paged = planMemory({ ...input, budget: 700 * MIB });
  assertEquals(paged.expertSlots, 36);
  assert(!paged.allResident);
});

Deno.test("planMemory() refuses a budget below trunk and top-k slots, naming the smallest that works", () => {
  const error = assertThrows(() => planMemory({ ...input, budget: 400 * MIB }), PlanError);
  assertStringIncludes(error.message, "--vram 418M");
  assertEquals(planMemory({ ...input, budget: 418 * MIB }).expertSlots, 8);
  assertThrows(() => planMemory({ ...input, budget: 417 * MIB }), PlanError);
});

Deno.test("planMemory() chooses the largest customary context that fits", () => {
  assertEquals(planMemory({ ...input, context: null }).contextLength, 32768);
  assertEquals(planMemory({ ...input, context: null, budget: 420 * MIB }).contextLength, 2048);
  assertEquals(planMemory({ ...input, context: null, maxPositions: 3000 }).contextLength, 3000);
});

Deno.test("planMemory() splits KV pages into arenas that fit a binding, and refuses a longer context", () => {
  const small = { ...input, maxBinding: 100 * 16 * 1024 };
  assertEquals([planMemory(small).kvArenas, planMemory(small).kvPages], [3, 3 * 86]);
  // Two arenas would do for 8 + 1 pages, but each must hold a sequence of full length.
  const uneven = {
    ...small,
    maxBinding: 8 * 16 * 1024,
    maxSequences: 2,
    context: 8 * 32,
    pageTokens: 32,
  };
  assertEquals([planMemory(uneven).kvArenas, planMemory(uneven).kvPages], [2, 16]);
  assertThrows(() => planMemory({ ...small, context: 100 * 32 + 1 }), PlanError, "at most 3200");
});

Deno.test("planMemory() plans a dense model without expert slots", () => {
  const plan = planMemory({ ...input, experts: null });
  assertEquals(plan.expertSlots, 0);
  assert(plan.allResident);
  assertStringIncludes(planTable(plan), "total");
});

Deno.test("size() prints three digits", () => {
  assertEquals([size(0), size(1023), size(1536), size(37454799072)], [
    "0 B",
    "0.999 KiB",
    "1.50 KiB",
    "34.9 GiB",
  ]);
});

Deno.test("planMemory() makes room for the embedding table and for earlier states where decoding runs ahead", () => {
  const ahead = { table: 30 * MIB, pasts: 2, stateBinding: MIB };
  const plain = planMemory(input);
  const plan = planMemory({ ...input, budget: 2000 * MIB, ahead });
  assertEquals(plan.stateSlots, 16);
  assertEquals(plan.total - plain.total, (30 + 8 * 10) * MIB);
  assertStringIncludes(planTable(plan), "embedding");
  const tied = planMemory({ ...input, budget: 2000 * MIB, ahead: { ...ahead, table: 0 } });
  assert(!planTable(tied).includes("embedding"));
});
