import { assert, assertEquals } from "@std/assert";
import { loadOracleCase } from "../oracle_case.ts";
import { complete, greedy, openTestEngine } from "../engine_fixture.ts";

/** Layers of the checkpoint, and of the official model: DeltaNet, attention. */
const TINY = [3, 1] as const;
const OFFICIAL = [30, 10] as const;

/** Dispatches a decoded token beside those of the layers: embedding, first norm, head, sampler, passage to the next. */
const ENDS = [[1, 9], [8, 10]] as const;

for (const [runAhead, most] of ENDS) {
  Deno.test(`a decoded token, ${runAhead} at once, takes 7 dispatches a DeltaNet layer, 9 an attention layer, and at most 320 at 40 layers`, async () => {
    const engine = await openTestEngine(loadOracleCase("tiny_fp8").dir, { runAhead });
    await complete(engine, greedy([1], { maxTokens: 2 }));
    const before = engine.counters().values;
    await complete(engine, greedy([1], { maxTokens: 9 }));
    const after = engine.counters().values;
    await engine.close();
    assertEquals(after.stepsAhead! - before.stepsAhead!, runAhead - 1);
    const perToken = (after.dispatches! - before.dispatches!) / (after.steps! - before.steps!);
    const ends = perToken - 7 * TINY[0] - 9 * TINY[1];
    assertEquals(Math.ceil(ends), most);
    assert(7 * OFFICIAL[0] + 9 * OFFICIAL[1] + ends <= 320);
  });
}
