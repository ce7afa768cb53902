import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { ExpertPager, type Wave } from "../../../runtime/experts/pager.ts";
import { NONE } from "../../../shaders/common/step.ts";
import { neededExperts } from "../../../runtime/experts/trace.ts";
import {
  generator,
  type SyntheticOptions,
  syntheticTrace,
} from "../../../runtime/replay/synthetic.ts";

interface Sizes {
  readonly experts: number;
  readonly slots: number;
  readonly topK?: number;
  readonly layers?: number;
  readonly parallel?: number;
}

/** A pager over pretended slots: `memory[layer][slot]` is the expert whose bytes lie there. */
class Bench {
  readonly pager: ExpertPager;
  readonly memory: number[][];
  /** The tables as the GPU has them. */
  readonly tables: Uint32Array[];
  readonly loads: string[] = [];
  mayLoad: (layer: number, expert: number) => void = () => {};
  busy = 0;
  mostBusy = 0;

  constructor({ experts, slots, topK = 1, layers = 1, parallel }: Sizes) {
    this.memory = Array.from({ length: layers }, () => new Array(slots).fill(-1));
    this.tables = this.memory.map(() => new Uint32Array(experts).fill(NONE));
    this.pager = new ExpertPager({
      layers,
      experts,
      slots,
      topK,
      ...parallel === undefined ? {} : { parallel },
      load: (layer, expert, slot) => this.#load(layer, expert, slot),
      writeTable: (layer, table) => this.tables[layer]?.set(table),
    });
  }

  async #load(layer: number, expert: number, slot: number): Promise<number> {
    this.mostBusy = Math.max(this.mostBusy, ++this.busy);
    try {
      const memory = this.memory[layer] ?? [];
      memory[slot] = -2; // half written
      // Later experts arrive first: arrival must not matter.
      for (let turn = 0; turn < 5 - expert % 5; turn++) await Promise.resolve();
      this.mayLoad(layer, expert);
      memory[slot] = expert;
      this.loads.push(`${layer}:${expert}`);
      return 100 + expert;
    } finally {
      this.busy--;
    }
  }

  /** Every expert in the GPU's table lies in its slot, whole, and no two share one. */
  check(layer = 0): void {
    const table = this.tables[layer] ?? new Uint32Array();
    assertEquals(table, this.pager.table(layer));
    const slots = [...table].filter((slot) => slot !== NONE);
    assertEquals(new Set(slots).size, slots.length);
    table.forEach((slot, expert) => {
      if (slot !== NONE) assertEquals(this.memory[layer]?.[slot], expert);
    });
  }

  async step(ids: Iterable<number>, layer = 0): Promise<Wave[]> {
    const waves: Wave[] = [];
    for await (const wave of this.pager.resolve(layer, ids)) {
      this.check(layer);
      for (const expert of wave.experts) assert(this.tables[layer]?.[expert] !== NONE);
      waves.push(wave);
    }
    this.check(layer);
    return waves;
  }
}

Deno.test("ExpertPager counts a small trace as done by hand", async () => {
  const bench = new Bench({ experts: 4, slots: 2 });
  for (const id of [0, 1, 0, 2, 1]) await bench.step([id]);
  // 0 in, 1 in, 0 hit, 2 evicts 1, 1 evicts 0.
  assertEquals(bench.loads, ["0:0", "0:1", "0:2", "0:1"]);
  assertEquals(bench.pager.counters, {
    hits: 1,
    misses: 4,
    bytes: 404,
    evictions: 2,
    stops: 4,
    waves: 5,
    failures: 0,
    prefetches: 0,
    prefetchBytes: 0,
  });
  assertEquals(bench.memory, [[1, 2]]);
});

Deno.test("ExpertPager runs waves over more experts than slots, loading each once", async () => {
  const bench = new Bench({ experts: 8, slots: 3, topK: 2 });
  await bench.step([6, 2]);
  const waves = await bench.step([7, 6, 5, 4, 3, 2, 1, 0]);
  assertEquals(waves.map(({ experts }) => [...experts]), [[0, 2, 6], [1, 3, 4], [5, 7]]);
  assertEquals(waves.map(({ index, isLast, uploads }) => [index, isLast, uploads]), [
    [0, false, 1],
    [1, false, 3],
    [2, true, 2],
  ]);
  assertEquals(bench.pager.counters.stops, 2);
  assertEquals([bench.pager.counters.hits, bench.pager.counters.misses], [2, 8]);
  // The least recently used of wave 2 stayed longest ago: 1 and 3 gave way, 4 remains.
  assert(bench.pager.isResident(0, [4, 5, 7]));
});

/** For each step the distinct experts that one layer needs. */
function makeTrace(options: Omit<SyntheticOptions, "layers">): Uint32Array[] {
  return syntheticTrace({ layers: 1, ...options }).steps.map(({ layers }) =>
    Uint32Array.from(neededExperts(layers[0]!))
  );
}

/** Hits of a plain LRU list, for single-row steps that fit the slots. */
function lruHits(trace: Uint32Array[], slots: number): number {
  let order: number[] = [];
  let hits = 0;
  for (const ids of trace) {
    const sorted = [...ids].sort((a, b) => a - b);
    hits += sorted.filter((id) => order.includes(id)).length;
    order = [...order.filter((id) => !sorted.includes(id)), ...sorted].slice(-slots);
  }
  return hits;
}

Deno.test("ExpertPager hits exactly as often as a plain LRU list on routing traces", async () => {
  const rates: number[] = [];
  for (const slots of [8, 11, 16, 32, 64]) {
    const trace = makeTrace({ experts: 64, topK: 8, steps: 120, sticky: 0.4, zipf: 0.8 });
    const bench = new Bench({ experts: 64, slots, topK: 8 });
    for (const ids of trace) await bench.step(ids);
    const { hits, misses, stops } = bench.pager.counters;
    assertEquals(hits, lruHits(trace, slots));
    assertEquals(hits + misses, 120 * 8);
    assert(stops <= 120);
    rates.push(hits / 960);
  }
  assertEquals(rates, rates.toSorted((a, b) => a - b));
  assert((rates[0] ?? 0) > 0.3 && (rates[4] ?? 0) > 0.9, rates.join());
});

Deno.test("ExpertPager keeps a layer's hits whatever the other layers need", async () => {
  const layers = 6;
  const trace = makeTrace({ experts: 32, topK: 4, steps: 60, sticky: 0.5, zipf: 0.5 });
  const alone = new Bench({ experts: 32, slots: 6, topK: 4 });
  const many = new Bench({ experts: 32, slots: 6, topK: 4, layers });
  for (const ids of trace) {
    await alone.step(ids);
    for (let layer = 0; layer < layers; layer++) await many.step(ids, layer);
  }
  assertEquals(many.pager.counters.hits, alone.pager.counters.hits * layers);
});

Deno.test("ExpertPager computes the same experts with any number of slots", async () => {
  const trace = makeTrace({ experts: 20, topK: 5, steps: 25, sticky: 0.3, zipf: 0.6, rows: 6 });
  assert(trace.some((ids) => ids.length > 12));
  for (let slots = 5; slots <= 20; slots++) {
    const bench = new Bench({ experts: 20, slots, topK: 5 });
    for (const ids of trace) {
      const waves = await bench.step(ids);
      const computed = waves.flatMap(({ experts }) => [...experts]);
      assertEquals(computed.toSorted((a, b) => a - b), [...ids].sort((a, b) => a - b));
      assert(waves.every(({ experts }) => experts.length <= slots));
    }
    const { hits, misses, evictions } = bench.pager.counters;
    assertEquals(hits + misses, trace.reduce((sum, ids) => sum + ids.length, 0));
    assertEquals(evictions, Math.max(0, misses - slots));
  }
});

Deno.test("ExpertPager bounds the loads under way", async () => {
  for (const parallel of [1, 3, 50]) {
    const bench = new Bench({ experts: 16, slots: 16, parallel });
    await bench.step(Array(16).keys());
    assertEquals(bench.mostBusy, Math.min(parallel, 16));
  }
});

Deno.test("ExpertPager stays sound when a load fails, and says why", async () => {
  const bench = new Bench({ experts: 8, slots: 4, topK: 2, parallel: 1 });
  await bench.step([0, 1, 2, 3]);
  bench.mayLoad = (_layer, expert) => {
    if (expert === 6) throw new Error("NaN in expert 6");
  };
  const [wave] = await bench.step([0, 5, 6, 7]);
  assertEquals([...wave!.failures], [[6, new Error("NaN in expert 6")]]);
  assertEquals([...wave!.experts], [0, 5, 7]);
  // 5 and 7 arrived; the slot of 6 is free, those who gave way are out.
  assertEquals([...Array(8).keys()].filter((id) => bench.pager.isResident(0, [id])), [0, 5, 7]);
  assertEquals([bench.pager.counters.failures, bench.pager.counters.misses], [1, 6]);
  bench.mayLoad = () => {};
  assertEquals((await bench.step([0, 5, 6, 7])).map(({ uploads }) => uploads), [1]);
});

Deno.test("ExpertPager survives failures at random, in every wave", async () => {
  const random = generator(11);
  const trace = makeTrace({ experts: 24, topK: 4, steps: 200, sticky: 0.3, zipf: 0.4, rows: 4 });
  const bench = new Bench({ experts: 24, slots: 5, topK: 4, parallel: 3 });
  let failed = 0;
  for (const ids of trace) {
    bench.mayLoad = () => {
      if (random() < 0.05) throw new Error("cut");
    };
    const waves = await bench.step(ids);
    if (waves.some(({ failures }) => failures.size > 0)) failed++;
    assertEquals(bench.busy, 0);
    bench.check();
  }
  assertEquals(bench.pager.counters.failures >= failed, true);
  assert(failed > 20 && failed < 180, `${failed} steps failed`);
  bench.mayLoad = () => {};
  await bench.step([0, 1, 2, 3, 4]);
  assert(bench.pager.isResident(0, [0, 1, 2, 3, 4]));
});

Deno.test("ExpertPager lets go of a layer when the loop is left early", async () => {
  const bench = new Bench({ experts: 8, slots: 2 });
  for await (const wave of bench.pager.resolve(0, [0, 1, 2, 3])) {
    await assertRejects(() => bench.step([0]), RangeError, "being resolved already");
    assertEquals([...wave.experts], [0, 1]);
    break;
  }
  bench.check();
  assertEquals((await bench.step([4, 5])).length, 1);
});

Deno.test("ExpertPager.touch() counts hits and keeps the order of use", async () => {
  const bench = new Bench({ experts: 4, slots: 2 });
  await bench.step([0]);
  await bench.step([1]);
  bench.pager.touch(0, [0, 0, 3]);
  assertEquals(bench.pager.counters.hits, 1);
  await bench.step([2]);
  assert(bench.pager.isResident(0, [0, 2]));
});

Deno.test("ExpertPager.loadAll() puts expert e into slot e and then never loads again", async () => {
  const bench = new Bench({ experts: 6, slots: 6, topK: 2, layers: 3 });
  const seen: number[] = [];
  await bench.pager.loadAll((done) => seen.push(done));
  assertEquals(seen, [1, 2, 3]);
  assertEquals(bench.memory, Array(3).fill([0, 1, 2, 3, 4, 5]));
  for (let layer = 0; layer < 3; layer++) await bench.step([5, 1, 3], layer);
  const { misses, hits, stops, evictions } = bench.pager.counters;
  assertEquals([misses, hits, stops, evictions], [18, 9, 0, 0]);
  await assertRejects(
    () => new Bench({ experts: 6, slots: 5 }).pager.loadAll(),
    RangeError,
    "5 slots",
  );
});

Deno.test("ExpertPager.loadAll() leaves out what cannot be loaded and says why", async () => {
  const bench = new Bench({ experts: 4, slots: 4, layers: 2 });
  bench.mayLoad = (layer, expert) => {
    if (layer === 1 && expert === 2) throw new Error("NaN in expert 2");
  };
  assertEquals(await bench.pager.loadAll(), [new Error("NaN in expert 2")]);
  assertEquals([bench.pager.isComplete(), bench.pager.isResident(1, [0, 1, 3])], [false, true]);
  bench.mayLoad = () => {};
  await bench.step([2], 1);
  assert(bench.pager.isComplete());
});

Deno.test("ExpertPager throws for too few slots, unknown layers and unknown experts", async () => {
  assertThrows(() => new Bench({ experts: 8, slots: 3, topK: 4 }), RangeError, "at least 4");
  assertThrows(() => new Bench({ experts: 8, slots: 9, topK: 4 }), RangeError, "9 slots");
  const bench = new Bench({ experts: 8, slots: 4 });
  await assertRejects(() => bench.step([8]), RangeError, "expert 8 of 8");
  await assertRejects(() => bench.step([1], 1), RangeError, "layer 1 of 1");
  assertEquals((await bench.step([])).length, 0);
});
