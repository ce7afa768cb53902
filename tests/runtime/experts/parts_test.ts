import { assert, assertEquals } from "@std/assert";
import { ExpertPager, type Wave } from "../../../runtime/experts/pager.ts";
import { NONE } from "../../../shaders/common/step.ts";

/** A pager of one layer with the table that the GPU would have. */
class Bench {
  readonly table: Uint32Array;
  readonly pager: ExpertPager;

  constructor(experts: number, slots: number) {
    this.table = new Uint32Array(experts).fill(NONE);
    const load = () => 1;
    const writeTable = (_layer: number, table: Uint32Array) => this.table.set(table);
    this.pager = new ExpertPager({ layers: 1, experts, slots, topK: 1, load, writeTable });
  }

  async step(ids: Iterable<number>, part = Infinity): Promise<Wave[]> {
    const waves: Wave[] = [];
    for await (const wave of this.pager.resolve(0, ids, { part })) {
      assertEquals(this.table, this.pager.table(0));
      for (const expert of wave.experts) assert(this.table[expert] !== NONE, `${expert}`);
      waves.push(wave);
    }
    return waves;
  }
}

const expertsOf = (waves: readonly Wave[]) => waves.flatMap(({ experts }) => [...experts]).sort();

Deno.test("resolve() in parts hands out residents first, and leaves what whole waves leave", async () => {
  const whole = new Bench(24, 10);
  const parted = new Bench(24, 10);
  for (const [index, ids] of [[1, 2, 3], [2, 9, 5, 7, 8], Array(24).keys(), [4, 5, 23]].entries()) {
    const needed = [...ids];
    const waves = await whole.step(needed);
    const parts = await parted.step(needed, 3);
    assertEquals(expertsOf(parts), expertsOf(waves));
    assertEquals(parts.map(({ index }) => index), [...parts.keys()]);
    assertEquals(parts.map(({ isLast }) => isLast), parts.map((_, i) => i === parts.length - 1));
    assert(parts.every(({ uploads }) => uploads <= 3));
    if (index === 1) assertEquals(parts.map((part) => [...part.experts]), [[2], [5, 7, 8], [9]]);
    assertEquals(parted.table, whole.table);
    assertEquals(parted.pager.counters, whole.pager.counters);
  }
  assert(whole.pager.counters.evictions > 10);
});

Deno.test("resolve() in parts gives back the slots of what was not loaded when it is left early", async () => {
  const bench = new Bench(9, 4);
  await bench.step([0, 1, 2, 3]);
  for await (const _residents of bench.pager.resolve(0, [3, 4, 5, 6], { part: 2 })) break;
  assertEquals([...bench.table].filter((slot) => slot !== NONE), [3]);
  assertEquals((await bench.step([4, 5, 6, 7])).length, 1);
});
