import { assert, assertEquals, assertRejects } from "@std/assert";
import { neededExperts, type RoutingTrace } from "../../../runtime/experts/trace.ts";
import { curvesTable, hitRateCurves } from "../../../runtime/replay/curves.ts";
import { type PolicyName, REPLAY_POLICIES } from "../../../runtime/replay/policies.ts";
import { neededLoads, replayTrace, slotsFor } from "../../../runtime/replay/replay.ts";
import { generator, syntheticTrace } from "../../../runtime/replay/synthetic.ts";
import { ROUTED_ODD } from "../experts/recorded.ts";

const POLICIES = Object.keys(REPLAY_POLICIES) as PolicyName[];
const STICKY = syntheticTrace({ layers: 2, experts: 32, topK: 4, steps: 80, sticky: 0.5, zipf: 1 });

/** One layer, one row a step. */
function traceOf(experts: number, steps: readonly (readonly number[])[]): RoutingTrace {
  return {
    header: { model: "by hand", layers: 1, experts, topK: steps[0]!.length },
    steps: steps.map((ids) => ({ rows: 1, layers: [Uint16Array.from(ids)] })),
  };
}

async function hits(trace: RoutingTrace, policy: PolicyName, slots: number): Promise<number> {
  return (await replayTrace(trace, { policy, slots })).counters.hits;
}

/** The most hits that any choice of victims can reach, by trying all of them; one row a step. */
function mostHits({ header, steps }: RoutingTrace, slots: number): number {
  const best = new Map<string, number>();
  const from = (step: number, resident: readonly number[]): number => {
    if (step === steps.length) return 0;
    const key = `${step}:${resident.join()}`;
    const known = best.get(key);
    if (known !== undefined) return known;
    const needed = neededExperts(steps[step]!.layers[0]!);
    const others = resident.filter((expert) => !needed.includes(expert));
    const room = slots - needed.length;
    const most = Math.max(
      ...choices(others, Math.min(room, others.length)).map((kept) =>
        from(step + 1, [...needed, ...kept].sort((a, b) => a - b))
      ),
    );
    const total = needed.filter((expert) => resident.includes(expert)).length + most;
    best.set(key, total);
    return total;
  };
  assert(header.layers === 1);
  return from(0, []);
}

function choices(items: readonly number[], count: number): number[][] {
  if (count === 0) return [[]];
  return items.flatMap((item, i) =>
    choices(items.slice(i + 1), count - 1).map((rest) => [item, ...rest])
  );
}

/** Experts of all layers that no step needs. */
function unusedExperts({ header, steps }: RoutingTrace): number {
  const used = Array.from(
    { length: header.layers },
    (_, layer) => neededExperts(steps.flatMap(({ layers }) => [...layers[layer]!])).length,
  );
  return used.reduce((sum, count) => sum + header.experts - count, 0);
}

/** Hits of a list a layer that is kept in order of use; one row a step. */
function listHits({ header, steps }: RoutingTrace, slots: number): number {
  const lists = Array.from({ length: header.layers }, () => [] as number[]);
  let hits = 0;
  for (const { layers } of steps) {
    for (const [layer, ids] of layers.entries()) {
      const needed = neededExperts(ids);
      hits += needed.filter((expert) => lists[layer]!.includes(expert)).length;
      const others = lists[layer]!.filter((expert) => !needed.includes(expert));
      lists[layer] = [...others, ...needed].slice(-slots);
    }
  }
  return hits;
}

Deno.test("replayTrace() gives what one counts by hand", async () => {
  const trace = traceOf(4, [[0], [1], [0], [0], [2], [1], [0]]);
  // 0 and 1 come in, 0 hits twice. LRU gives up 1, then 0, then 2; LFU gives up 1, then 2; the optimum 0 or 1 last.
  assertEquals(await hits(trace, "lru", 2), 2);
  assertEquals(await hits(trace, "lfu", 2), 3);
  assertEquals(await hits(trace, "pinned", 2), 3);
  assertEquals(await hits(trace, "optimal", 2), 3);
  const { counters, hitRate, lateHitRate, residency } = await replayTrace(trace, {
    policy: "lru",
    slots: 2,
    expertBytes: 10,
  });
  assertEquals(counters, {
    ...counters,
    hits: 2,
    misses: 5,
    bytes: 50,
    evictions: 3,
    stops: 5,
    waves: 5,
    failures: 0,
  });
  assertEquals([hitRate, lateHitRate, residency], [2 / 7, 1 / 4, 1 / 2]);
});

Deno.test("the optimal policy hits as often as the best of all choices of victims", async () => {
  const next = generator(11);
  for (let round = 0; round < 40; round++) {
    const topK = 1 + Math.floor(next() * 2);
    const trace = syntheticTrace({
      layers: 1,
      experts: 6,
      topK,
      steps: 9,
      sticky: next() / 2,
      zipf: next(),
      seed: round,
    });
    for (let slots = topK; slots <= 5; slots++) {
      assertEquals(await hits(trace, "optimal", slots), mostHits(trace, slots));
    }
  }
});

for (const [name, trace] of Object.entries({ recorded: ROUTED_ODD, sticky: STICKY })) {
  Deno.test(`no policy beats the optimum, and all load once with every slot, ${name} trace`, async () => {
    const used = trace.header.layers * trace.header.experts - unusedExperts(trace);
    for (const share of [0.3, 0.5, 0.8, 1]) {
      const slots = slotsFor(trace, share);
      const best = await hits(trace, "optimal", slots);
      for (const policy of POLICIES) {
        const { counters } = await replayTrace(trace, { policy, slots });
        assert(counters.hits <= best, `${policy} with ${slots} slots: ${counters.hits} > ${best}`);
        assertEquals(counters.hits + counters.misses, neededLoads(trace));
        if (share === 1) assertEquals([counters.evictions, counters.misses], [0, used]);
      }
    }
  });
}

Deno.test("LRU on the recorded trace hits as often as plain lists do", async () => {
  const { header, steps } = ROUTED_ODD;
  const decoded = { header, steps: steps.filter(({ rows }) => rows === 1) };
  const shares = [];
  for (const slots of [5, 8, 10, 15, 20]) {
    const { counters, hitRate } = await replayTrace(decoded, { policy: "lru", slots });
    assertEquals(counters.hits, listHits(decoded, slots));
    shares.push(Math.round(100 * hitRate));
  }
  assertEquals(shares, [26, 42, 51, 74, 93]);
});

Deno.test("curvesTable() has a line for each residency and a column for each policy", async () => {
  const curves = await hitRateCurves(ROUTED_ODD, {
    policies: ["lru", "optimal"],
    residencies: [0.01, 0.25, 0.5],
  });
  const lines = curvesTable(curves).split("\n");
  assertEquals(lines[0], "odd_fp8: 5 layers of 20 experts, 5 a row; 65 steps, 360 rows");
  assertEquals(lines[3]!.trim().split(/\s+/), ["residency", "slots", "lru", "optimal"]);
  // 1 % and 25 % are the same five slots, the least that a row needs.
  assertEquals(lines.slice(4).map((line) => line.trim().split(/\s{2,}/)[1]), ["5", "10"]);
});

Deno.test("replayTrace() refuses slots that do not hold one row's experts", async () => {
  await assertRejects(() => replayTrace(STICKY, { policy: "lru", slots: 3 }), RangeError);
});

Deno.test("syntheticTrace() keeps the share of experts that it is asked for", () => {
  for (const sticky of [0, 0.45, 0.9]) {
    const trace = syntheticTrace({
      layers: 1,
      experts: 256,
      topK: 8,
      steps: 400,
      sticky,
      zipf: 0,
    });
    let repeated = 0;
    for (let step = 1; step < 400; step++) {
      const before = new Set(trace.steps[step - 1]!.layers[0]);
      repeated += trace.steps[step]!.layers[0]!.filter((id) => before.has(id)).length;
    }
    const chance = (1 - sticky) * 8 / 256;
    const share = repeated / 399 / 8;
    assert(Math.abs(share - sticky - chance) < 0.03, `${share} of ${sticky}`);
  }
});
