import { assert, assertEquals } from "@std/assert";
import { loadOracleCase } from "../oracle_case.ts";
import { complete, greedy, openTestEngine } from "../engine_fixture.ts";

/** Layers of the checkpoint, and of the official model: DeltaNet, attention. */
const TINY = [3, 1] as const;
const OFFICIAL = [30, 10] as const;

Deno.test("a decoded token takes 7 dispatches a DeltaNet layer, 9 an attention layer, and at most 320 at 40 layers", async () => {
  const engine = await openTestEngine(loadOracleCase("tiny_fp8").dir);
  await complete(engine, greedy([1], { maxTokens: 2 }));
  const before = engine.counters().values;
  await complete(engine, greedy([1], { maxTokens: 9 }));
  const after = engine.counters().values;
  await engine.close();
  const perToken = (after.dispatches! - before.dispatches!) / (after.steps! - before.steps!);
  const ends = perToken - 7 * TINY[0] - 9 * TINY[1]; // embedding, first norm, head, sampler
  assertEquals(ends, 9);
  assert(7 * OFFICIAL[0] + 9 * OFFICIAL[1] + ends <= 320);
});
