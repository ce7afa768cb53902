import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { HeatMap } from "../../../runtime/experts/heat.ts";
import { ExpertPager } from "../../../runtime/experts/pager.ts";
import { allPlaces, WarmStart } from "../../../runtime/experts/warm_start.ts";

const SIZES = { model: "m", layers: 2, experts: 4 };

function heatOf(counts: readonly (readonly number[])[]): HeatMap {
  return HeatMap.parse(JSON.stringify({ format: "deltapage-heat-1", ...SIZES, counts }));
}

/** A pager that writes down its loads; `broken` experts cannot be loaded. */
function pagerOf(slots: number, broken: readonly number[] = []) {
  const loads: string[] = [];
  const tables = new Map<number, Uint32Array>();
  const pager = new ExpertPager({
    ...SIZES,
    slots,
    topK: 1,
    load: (layer, expert, slot) => {
      if (broken.includes(expert)) throw new TypeError("damaged");
      loads.push(`${layer}:${expert}@${slot}`);
      return 100;
    },
    writeTable: (layer, table) => tables.set(layer, table.slice()),
  });
  return { pager, loads, tables };
}

async function resolve(pager: ExpertPager, layer: number, ids: readonly number[]): Promise<void> {
  for await (const _wave of pager.resolve(layer, ids)) { /* nothing to compute */ }
}

async function toEnd(warm: WarmStart): Promise<number> {
  let loads = 0;
  while (await warm.next()) loads++;
  return loads;
}

Deno.test("HeatMap.hottest() goes rank by rank over the layers and leaves out what was never used", () => {
  const places = [...heatOf([[1, 0, 9, 4], [0, 2, 2, 0]]).hottest()];
  assertEquals(places.map(({ layer, expert }) => `${layer}:${expert}`), [
    "0:2",
    "1:1",
    "0:3",
    "1:2",
    "0:0",
  ]);
});

Deno.test("HeatMap counts choices, ages earlier runs and survives being written", () => {
  const heat = new HeatMap(SIZES);
  assert(heat.isEmpty());
  heat.add(1, Uint32Array.of(3, 0, 3));
  heat.addAged(heatOf([[0, 4, 0, 0], [0, 0, 0, 1]]));
  assertEquals(JSON.parse(heat.format()).counts, [[0, 2, 0, 0], [1, 0, 0, 2]]);
  assertEquals(HeatMap.parse(heat.format()).format(), heat.format());
  const other = new HeatMap({ ...SIZES, layers: 3 });
  assertThrows(() => heat.addAged(other), RangeError, "found 3 layers of 4 experts, wanted 2 of 4");
});

Deno.test("HeatMap.parse() says what is wrong", () => {
  const wrong: readonly (readonly [string, string])[] = [
    ["no JSON\nat all", 'found "no JSON\\nat all"'],
    ["{}", 'found format "undefined"'],
    [JSON.stringify({ format: "deltapage-heat-1", ...SIZES, counts: [[0, 0, 0, 0]] }), "of every"],
    [
      JSON.stringify({ format: "deltapage-heat-1", ...SIZES, counts: [[0, 0, 0, 0], [0, 0, 0]] }),
      "layer 1: wanted 4 counts",
    ],
    [
      JSON.stringify({ format: "deltapage-heat-1", ...SIZES, counts: [[0, 0, 0, -1], []] }),
      "layer 0",
    ],
  ];
  for (const [text, message] of wrong) {
    assertThrows(() => HeatMap.parse(text), SyntaxError, message);
  }
});

Deno.test("WarmStart fills free slots with the hottest, one load at a time, and evicts nothing", async () => {
  const { pager, loads, tables } = pagerOf(3);
  await resolve(pager, 0, [1]);
  const warm = new WarmStart(pager, heatOf([[5, 9, 7, 6], [0, 1, 0, 0]]));
  assertEquals(await warm.next(), true);
  assertEquals(loads, ["0:1@0", "1:1@0"]);
  assertEquals(await toEnd(warm), 2);
  assertEquals(loads.slice(2), ["0:2@1", "0:3@2"]);
  assertEquals(pager.table(0), tables.get(0));
  assert(pager.isResident(0, [1, 2, 3]) && pager.isResident(1, [1]));
  const { hits, misses, bytes, evictions, prefetches, prefetchBytes } = pager.counters;
  assertEquals([hits, misses, bytes, evictions, prefetches, prefetchBytes], [
    0,
    1,
    100,
    0,
    3,
    300,
  ]);
  // Of those loaded ahead the coldest gives way first, and before what was used.
  await resolve(pager, 0, [0]);
  assert(pager.isResident(0, [0, 1, 2]));
});

Deno.test("WarmStart loads all places after the hottest, each once", async () => {
  const { pager, loads } = pagerOf(4);
  await toEnd(new WarmStart(pager, heatOf([[0, 0, 0, 2], [0, 0, 0, 0]]), allPlaces(SIZES)));
  assertEquals(loads.map((load) => load.split("@")[0]).slice(0, 4), ["0:3", "0:0", "1:0", "0:1"]);
  assertEquals(loads.length, SIZES.layers * SIZES.experts);
  assert(pager.isComplete());
});

Deno.test("WarmStart goes on after an expert that cannot be loaded, and leaves its slot free", async () => {
  const { pager, loads } = pagerOf(4, [2]);
  assertEquals(await toEnd(new WarmStart(pager, heatOf([[1, 2, 3, 4], [0, 0, 0, 0]]))), 4);
  assertEquals(loads, ["0:3@0", "0:1@1", "0:0@2"]);
  assertEquals([pager.counters.failures, pager.counters.prefetches], [1, 3]);
  await assertRejects(
    async () => {
      for await (const { failures } of pager.resolve(0, [2])) throw failures.get(2);
    },
    TypeError,
    "damaged",
  );
});

Deno.test("ExpertPager.loadAhead() refuses a layer that is being resolved", async () => {
  const { pager } = pagerOf(4);
  for await (const _wave of pager.resolve(0, [0])) {
    await assertRejects(() => pager.loadAhead(0, 1), RangeError, "being resolved");
    assertEquals(await pager.loadAhead(1, 1), true);
  }
  assertEquals(await pager.loadAhead(0, 0), false);
});
