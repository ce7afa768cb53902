import { assert, assertEquals } from "@std/assert";
import { TraceRecorder } from "../../runtime/experts/trace.ts";
import type { Residency } from "../../runtime/options.ts";
import { replayTrace } from "../../runtime/replay/replay.ts";
import { complete, greedy, openTestEngine } from "../engine_fixture.ts";
import { loadOracleCase } from "../oracle_case.ts";

const { dir, prompts } = loadOracleCase("tiny_fp8");
const SIZES = { model: "tiny_fp8", layers: 4, experts: 8, topK: 2 };
const promptOf = (length: number) => prompts.find(({ tokens }) => tokens.length === length)!.tokens;

/** Prompts scored and continued, several at once; what they came to and what the engine counted. */
async function run(residency: Residency, vram: string, watch = false, preload = true) {
  const recorder = new TraceRecorder(SIZES);
  const hooks = watch ? { onRoute: recorder.onRoute, preload } : { preload };
  const engine = await openTestEngine(dir, { residency, vram, chunkRows: 64 }, hooks);
  try {
    const start = engine.counters().values;
    const results = await Promise.all(
      [65, 64, 1, 2].map((length) =>
        complete(
          engine,
          greedy(promptOf(length), { maxTokens: 12, promptLogprobs: 0, logprobs: 3 }),
        )
      ),
    );
    const { total, rows, expertSlots } = engine.runner.plan;
    const experts = rows.find(([purpose]) => purpose === "experts")![2];
    return {
      results,
      start,
      values: engine.counters().values,
      trace: recorder.trace(),
      slots: expertSlots,
      budget: (slots: number) => String(total - experts + experts / expertSlots * slots),
    };
  } finally {
    await engine.close();
  }
}

Deno.test("experts in host memory give the bits of all resident, without a stop, counted as in a replay", async () => {
  const resident = await run("resident", "1G");
  const all = SIZES.layers * SIZES.experts;
  for (const [slots, watch] of [[2, false], [3, true], [7, false]] as const) {
    const host = await run("host", resident.budget(slots), watch);
    assertEquals(host.slots, slots);
    assertEquals(host.results, resident.results, `${slots} slots`);
    const { hits, misses, evictions, waves, bytes, stops, submissions, hostLoads } = host.values;
    assertEquals([host.start.hostLoads, hostLoads, stops], [all, all, 0]);
    assert(hits! > 0 && misses! > SIZES.layers * slots, `${hits} hits, ${misses} misses`);
    assertEquals(evictions, misses! - SIZES.layers * slots);
    if (!watch) {
      assertEquals(submissions, resident.values.submissions);
      continue;
    }
    const expertBytes = bytes! / misses!;
    const { counters } = await replayTrace(host.trace, { policy: "lru", slots, expertBytes });
    assertEquals({ ...counters, hits, misses, evictions, waves, bytes }, { ...counters });
  }
});

Deno.test("experts are copied to host memory when a step asks for them, the rest while nothing runs", async () => {
  const engine = await openTestEngine(dir, { residency: "host" }, { preload: false });
  const request = greedy([7], { maxTokens: 3, logprobs: 3 }); // asks for less than half
  const generated = complete(engine, request);
  const first = engine.counters().values;
  assert(first.hostLoads! < SIZES.layers * SIZES.experts, "some were to be left for later");
  const lazy = await generated;
  while (engine.counters().values.hostLoads! < SIZES.layers * SIZES.experts) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  const { stops, prefetches, misses } = engine.counters().values;
  assert(
    stops! > 0 && prefetches! > 0 && misses! > 0,
    JSON.stringify({ stops, prefetches, misses }),
  );
  assertEquals(await complete(engine, { ...request, owner: "another" }), lazy);
  assertEquals(engine.counters().values.stops, stops, "all are there now");
  await engine.close();
  const resident = await openTestEngine(dir, { residency: "resident" });
  assertEquals(await complete(resident, request), lazy);
  await resident.close();
});
