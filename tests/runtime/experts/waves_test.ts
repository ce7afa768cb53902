import { assert, assertEquals, assertThrows } from "@std/assert";
import { planWaves } from "../../../runtime/experts/waves.ts";
import { generator } from "../../../runtime/replay/synthetic.ts";

function residency(experts: number, slots: number, resident: number[] = []) {
  return { experts, slots, has: (expert: number) => resident.includes(expert) };
}

Deno.test("planWaves() puts residents first and fills the first wave with missing ones", () => {
  assertEquals(planWaves([9, 3, 7, 1, 5, 2], residency(10, 3, [9, 5])), [
    { hits: [5, 9], misses: [1] },
    { hits: [], misses: [2, 3, 7] },
  ]);
});

Deno.test("planWaves() needs one wave where all fit, and none for nothing", () => {
  assertEquals(planWaves([2, 1], residency(4, 2)), [{ hits: [], misses: [1, 2] }]);
  assertEquals(planWaves([2, 1], residency(4, 2, [1, 2])), [{ hits: [1, 2], misses: [] }]);
  assertEquals(planWaves([], residency(4, 2)), []);
});

Deno.test("planWaves() starts a second wave where the residents take every slot", () => {
  assertEquals(planWaves([0, 1, 2], residency(4, 2, [0, 2])), [
    { hits: [0, 2], misses: [] },
    { hits: [], misses: [1] },
  ]);
});

Deno.test("planWaves() ignores order and repetitions", () => {
  const pool = residency(8, 2, [3]);
  assertEquals(planWaves([5, 3, 3, 1, 5], pool), planWaves(Uint32Array.of(1, 3, 5), pool));
});

Deno.test("planWaves() throws for an id that is no expert", () => {
  for (const id of [8, -1, 0.5]) {
    assertThrows(() => planWaves([1, id], residency(8, 2)), RangeError, `expert ${id} of 8`);
  }
});

Deno.test("planWaves() covers every needed expert once within the slots, for any residency", () => {
  const random = generator(3);
  for (let round = 0; round < 500; round++) {
    const experts = 1 + Math.floor(random() * 40);
    const slots = 1 + Math.floor(random() * experts);
    const all = Array.from({ length: experts }, (_, i) => i);
    const resident = all.filter(() => random() < 0.5).slice(0, slots);
    const needed = all.filter(() => random() < 0.6);
    const waves = planWaves(needed, residency(experts, slots, resident));
    const covered = waves.flatMap(({ hits, misses }) => [...hits, ...misses]);
    assertEquals(covered.toSorted((a, b) => a - b), needed);
    for (const [index, { hits, misses }] of waves.entries()) {
      assert(hits.length + misses.length <= slots);
      assert(hits.every((id) => resident.includes(id)) && (index === 0 || hits.length === 0));
      assert(misses.every((id) => !resident.includes(id)));
    }
    assertEquals(waves.length, Math.ceil(needed.length / slots));
  }
});
