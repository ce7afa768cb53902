/** Real routing: what a replay says of fewer slots is what the engine counts. @module */
import { assert, assertEquals } from "@std/assert";
import { type RoutingTrace, TraceRecorder } from "../../runtime/experts/trace.ts";
import { TextModel } from "../../runtime/mod.ts";
import { replayTrace, slotsFor } from "../../runtime/replay/replay.ts";
import { readSnapshotConfig } from "../../runtime/snapshot.ts";
import { budgetFor } from "../bench/budgets.ts";
import { complete, greedy, openTestEngine } from "../engine_fixture.ts";

const DEMO = new URL("../../weights/demo", import.meta.url).pathname;
const QUESTIONS = ["What is 17 + 25?", "Tell me a story."];
const { config: { layers, mlp } } = readSnapshotConfig(DEMO);
const { experts, topK } = mlp as { readonly experts: number; readonly topK: number };

interface Live {
  readonly trace: RoutingTrace;
  readonly answers: readonly (readonly number[])[];
  readonly values: Readonly<Record<string, number>>;
}

/** The questions and answers with so many slots a layer. */
async function live(slots: number): Promise<Live> {
  const options = { maxSequences: 1, context: 512, stateCacheBytes: 0 };
  const vram = String(budgetFor(DEMO, slots, { ...options, maxBinding: 2 ** 27 }));
  const text = await TextModel.load(DEMO);
  const recorder = new TraceRecorder({ model: "demo", layers, experts, topK });
  const engine = await openTestEngine(DEMO, { ...options, vram }, { onRoute: recorder.onRoute });
  try {
    assertEquals(engine.runner.plan.expertSlots, slots);
    const answers = [];
    for (const content of QUESTIONS) {
      const { ids } = text.encodeChat([{ role: "user", content }]);
      answers.push((await complete(engine, greedy([...ids], { maxTokens: 24 }))).tokens);
    }
    return { trace: recorder.trace(), answers, values: engine.counters().values };
  } finally {
    await engine.close();
  }
}

Deno.test("the demo's hit rate at a quarter, half and three quarters of the slots is what its replay says", async () => {
  const half = await live(experts / 2);
  for (const share of [0.25, 0.5, 0.75]) {
    const slots = slotsFor(half.trace, share);
    const { trace, answers, values } = share === 0.5 ? half : await live(slots);
    assertEquals([trace.steps, answers], [half.trace.steps, half.answers]);
    const { counters, hitRate } = await replayTrace(half.trace, { policy: "lru", slots });
    const { hits, misses, bytes, expertBytes } = values;
    assertEquals([hits, misses, bytes], [
      counters.hits,
      counters.misses,
      counters.misses * expertBytes!,
    ]);
    assert(hitRate > 0 && hitRate < 1);
  }
});
