import { assert, assertEquals } from "@std/assert";
import { type RoutingTrace, TraceRecorder } from "../../runtime/experts/trace.ts";
import { replayTrace } from "../../runtime/replay/replay.ts";
import { recordTrace } from "../../runtime/replay/record.ts";
import { complete, greedy, openTestEngine, TEST_OPTIONS } from "../engine_fixture.ts";
import { loadOracleCase } from "../oracle_case.ts";

const { dir, prompts } = loadOracleCase("tiny_fp8");
const promptOf = (length: number) => prompts.find(({ tokens }) => tokens.length === length)!.tokens;

interface Routed {
  readonly trace: RoutingTrace;
  readonly tokens: readonly (readonly number[])[];
  readonly values: Readonly<Record<string, number>>;
  /** The budget that leaves each layer `slots` slots. */
  readonly budget: (slots: number) => string;
}

/** Two sequences at once, in chunks and decoded together, then a third; with the engine's own counters. */
async function route(vram: string): Promise<Routed> {
  const recorder = new TraceRecorder({ model: "tiny_fp8", layers: 4, experts: 8, topK: 2 });
  const engine = await openTestEngine(dir, { vram, chunkRows: 32 }, { onRoute: recorder.onRoute });
  try {
    const run = (length: number) => complete(engine, greedy(promptOf(length), { maxTokens: 24 }));
    const results = [...await Promise.all([65, 63].map(run)), await run(2)];
    const { total, rows, expertSlots } = engine.runner.plan;
    const experts = rows.find(([purpose]) => purpose === "experts")![2];
    return {
      trace: recorder.trace(),
      tokens: results.map(({ tokens }) => tokens),
      values: engine.counters().values,
      budget: (slots) => String(total - experts + experts / expertSlots * slots),
    };
  } finally {
    await engine.close();
  }
}

Deno.test("the live counters are those of the replay of the recorded trace, at any budget", async () => {
  const resident = await route("1G");
  for (const slots of [2, 4, 7]) {
    const { trace, tokens, values } = await route(resident.budget(slots));
    assertEquals(trace, resident.trace);
    assertEquals(tokens, resident.tokens);
    const expertBytes = values.bytes! / values.misses!;
    const { counters } = await replayTrace(trace, { policy: "lru", slots, expertBytes });
    const { hits, misses, bytes, evictions, stops, waves, failures } = values;
    assertEquals({ ...counters }, {
      ...counters,
      ...{ hits, misses, bytes, evictions, stops, waves, failures },
    });
    assert(misses! > 0 && hits! > 0 && evictions! > 0, JSON.stringify(counters));
  }
});

Deno.test("recordTrace() records prompts one after the other, also where everything is resident", async () => {
  const trace = await recordTrace({
    options: { ...TEST_OPTIONS, model: dir, chunkRows: 40 },
    prompts: [promptOf(64), promptOf(2)],
    maxTokens: 3,
    seed: 1,
  });
  assertEquals(trace.steps.map(({ rows }) => rows), [40, 24, 1, 1, 2, 1, 1]);
  assertEquals(trace.header, { model: "tiny_fp8", layers: 4, experts: 8, topK: 2 });
});
