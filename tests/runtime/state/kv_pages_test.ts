import { assertEquals, assertThrows } from "@std/assert";
import { KvPages } from "../../../runtime/state/kv_pages.ts";
import { RecurrentSlots } from "../../../runtime/state/recurrent_slots.ts";

Deno.test("KvPages.allocate() hands out every page once, then throws and takes nothing", () => {
  const pages = new KvPages([4, 2]);
  assertEquals(pages.canAllocate(0, 5), false);
  assertThrows(() => pages.allocate(0, 5), RangeError, "4 are free");
  assertEquals(new Set(pages.allocate(0, 4)), new Set([0, 1, 2, 3]));
  assertThrows(() => pages.allocate(0, 1), RangeError, "0 are free");
  assertEquals([pages.free(0), pages.free(1), pages.total(), pages.total(1)], [0, 2, 6, 2]);
});

Deno.test("KvPages frees a page when its last holder is gone, and says so", () => {
  const freed: [number, number][] = [];
  const pages = new KvPages([1, 3], (arena, page) => freed.push([arena, page]));
  const [a, b] = pages.allocate(1, 2) as [number, number];
  pages.share(1, [a]);
  pages.release(1, [a, b]);
  assertEquals([pages.holders(1, a), pages.free(1), freed], [1, 2, [[1, b]]]);
  pages.release(1, [a]);
  assertEquals([pages.free(1), freed], [3, [[1, b], [1, a]]]);
});

Deno.test("KvPages refuses to share or release a page that is free, and changes nothing", () => {
  const pages = new KvPages([3]);
  const [a] = pages.allocate(0, 1) as [number];
  const free = a === 0 ? 1 : 0;
  assertThrows(() => pages.share(0, [a, free]), RangeError, "nobody holds it");
  assertThrows(() => pages.release(0, [a, free]), RangeError, "nobody holds it");
  assertThrows(() => pages.release(7, [0]), RangeError, "arena 7");
  assertEquals(pages.holders(0, a), 1);
});

Deno.test("KvPages.fork() shares full pages and copies the partial one", () => {
  const pages = new KvPages([8]);
  const base = pages.allocate(0, 3);
  const copies: [number, number][] = [];
  const copy = (from: number, to: number) => copies.push([from, to]);
  const fork = pages.fork({ arena: 0, pages: base, tokens: 70 }, 32, copy);
  assertEquals(fork.slice(0, 2), base.slice(0, 2));
  assertEquals(copies, [[base[2]!, fork[2]!]]);
  assertEquals(base.map((page) => pages.holders(0, page)), [2, 2, 1]);
  const even = pages.fork({ arena: 0, pages: base, tokens: 64 }, 32, copy);
  assertEquals(even, base.slice(0, 2));
  assertEquals([copies.length, pages.free(0)], [1, 4]);
});

Deno.test("KvPages.fork() without a page for the copy throws and shares nothing", () => {
  const pages = new KvPages([2]);
  const base = pages.allocate(0, 2);
  assertThrows(() => pages.fork({ arena: 0, pages: base, tokens: 40 }, 32, () => {}), RangeError);
  assertEquals(base.map((page) => pages.holders(0, page)), [1, 1]);
});

Deno.test("RecurrentSlots hands out every slot once and takes each back once", () => {
  const slots = new RecurrentSlots(2);
  const [a, b] = [slots.allocate(), slots.allocate()];
  assertEquals([new Set([a, b]), slots.canAllocate(), slots.total], [new Set([0, 1]), false, 2]);
  assertThrows(() => slots.allocate(), RangeError, "all 2 are held");
  slots.release(a);
  assertThrows(() => slots.release(a), RangeError, "nobody holds it");
  assertEquals([slots.free, slots.allocate()], [1, a]);
});
