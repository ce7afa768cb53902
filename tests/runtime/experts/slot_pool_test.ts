import { assert, assertEquals, assertThrows } from "@std/assert";
import { LruPolicy } from "../../../runtime/experts/policy.ts";
import { SlotPool } from "../../../runtime/experts/slot_pool.ts";
import { NONE } from "../../../shaders/common/step.ts";

function fill(pool: SlotPool, ...experts: number[]): void {
  for (const expert of experts) pool.settle(pool.claim(expert).slot, expert);
  for (const expert of experts) pool.touch(expert);
  pool.unpinAll();
}

Deno.test("SlotPool gives the lowest free slot and shows it in the table", () => {
  const pool = new SlotPool(5, 3);
  assertEquals([...pool.table], [NONE, NONE, NONE, NONE, NONE]);
  fill(pool, 4, 1);
  assertEquals([...pool.table], [NONE, 1, NONE, NONE, 0]);
  assertEquals([pool.slotOf(4), pool.slotOf(0), pool.residentCount()], [0, NONE, 2]);
});

Deno.test("SlotPool evicts the least recently used expert", () => {
  const pool = new SlotPool(6, 3);
  fill(pool, 0, 1, 2);
  pool.touch(0);
  assertEquals(pool.claim(5), { slot: 1, evicted: 1 });
  assert(!pool.has(1) && !pool.has(5));
  pool.settle(1, 5);
  assertEquals(pool.slotOf(5), 1);
});

Deno.test("SlotPool never evicts what is pinned or loading", () => {
  const pool = new SlotPool(6, 3);
  fill(pool, 0, 1, 2);
  pool.pin(0);
  assertEquals(pool.claim(3).evicted, 1);
  assertEquals(pool.claim(4).evicted, 2);
  assert(!pool.canClaim());
  pool.settle(1, 3);
  pool.settle(2, 4);
  assert(!pool.canClaim());
  assertThrows(() => pool.claim(5), RangeError, "all 3 slots");
  pool.unpinAll();
  assertEquals(pool.claim(5).evicted, 0);
});

Deno.test("SlotPool leaves an abandoned slot free and its expert out of the table", () => {
  const pool = new SlotPool(4, 1);
  fill(pool, 0);
  pool.abandon(pool.claim(1).slot);
  assertEquals([...pool.table], [NONE, NONE, NONE, NONE]);
  assertEquals([pool.residentCount(), pool.claim(2)], [0, { slot: 0, evicted: undefined }]);
});

Deno.test("SlotPool throws for sizes and calls that make no sense", () => {
  for (const slots of [0, 5, 1.5, NaN]) {
    assertThrows(() => new SlotPool(4, slots), RangeError, `${slots} slots`);
  }
  const pool = new SlotPool(4, 2);
  fill(pool, 0);
  assertThrows(() => pool.claim(0), RangeError, "resident");
  assertThrows(() => pool.settle(0, 1), RangeError, "slot 0 is resident");
  assertThrows(() => pool.abandon(1), RangeError, "slot 1 is free");
});

Deno.test("LruPolicy prefers slots never used, highest first, and may find none", () => {
  const policy = new LruPolicy(4);
  policy.touched(3);
  assertEquals(policy.victim(() => true), 2);
  policy.touched(2);
  assertEquals(policy.victim((slot) => slot >= 2), 3);
  policy.touched(3);
  assertEquals(policy.victim((slot) => slot >= 2), 2);
  assertEquals(policy.victim(() => false), undefined);
});
