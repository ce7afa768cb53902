import { assert, assertEquals } from "@std/assert";
import { loadLookahead } from "../../runtime/engine/look_ahead.ts";
import { parseConfig } from "../../runtime/model/config.ts";
import { emptyState, naiveForward } from "../../runtime/model/naive.ts";
import { NaiveWeights } from "../../runtime/model/naive_weights.ts";
import { textPrefix } from "../../runtime/model/names.ts";
import { openSnapshot } from "../../weights/mod.ts";
import { complete, greedy, openTestEngine } from "../engine_fixture.ts";
import { loadOracleCase } from "../oracle_case.ts";

const { dir, prompts } = loadOracleCase("tiny_fp8");
const tokens = prompts.find((prompt) => prompt.tokens.length === 64)!.tokens;
const SLOTS = 4;
/** A prompt that leaves slots free. */
const SHORT = tokens.slice(0, 2);

Deno.test("the routers on the host find every expert of the layer whose input they are given", async () => {
  const config = parseConfig(JSON.parse(Deno.readTextFileSync(`${dir}/config.json`)));
  const { hidden, mlp } = config;
  if (mlp.kind === "dense") throw new Error("the case has experts");
  const snapshot = openSnapshot(dir);
  const prefix = textPrefix((name) => snapshot.has(name) ? snapshot.tensor(name).dtype : undefined);
  const lookahead = await loadLookahead({ config, snapshot, prefix }, mlp.topK, () => {});
  let rows = 0;
  const onRoute = (layer: number, h: Float64Array, ids: Uint32Array) => {
    for (let row = 0; row < tokens.length; row++, rows++) {
      const guess = lookahead.guess(
        layer,
        Float32Array.from(h.subarray(row * hidden, (row + 1) * hidden)),
        hidden,
      );
      assertEquals(guess, new Set(ids.subarray(row * mlp.topK, (row + 1) * mlp.topK)));
    }
  };
  naiveForward(
    { config, weights: new NaiveWeights(snapshot), onRoute },
    tokens,
    emptyState(config),
  );
  snapshot.close();
  assertEquals(rows, 4 * tokens.length);
});

Deno.test("--look-ahead changes no token and foresees far more than chance", async () => {
  const whole = await openTestEngine(dir, { residency: "resident" });
  const { total, rows, expertSlots } = whole.runner.plan;
  const want = await complete(whole, greedy(SHORT, { maxTokens: 64, logprobs: 2 }));
  await whole.close();
  const experts = rows.find(([purpose]) => purpose === "experts")![2];
  const vram = String(total - experts / expertSlots * (expertSlots - SLOTS));
  for (const lookAhead of ["off", "on", "slots"] as const) {
    const engine = await openTestEngine(dir, { vram, lookAhead });
    const got = await complete(engine, greedy(SHORT, { maxTokens: 64, logprobs: 2 }));
    const { values } = engine.counters();
    await engine.close();
    assertEquals([got.tokens, got.logprobs, got.tops], [want.tokens, want.logprobs, want.tops]);
    assertEquals(values.bytes, values.misses! * values.expertBytes!);
    if (lookAhead === "off") assertEquals(values.guesses, undefined);
    if (lookAhead === "slots") assert(values.prefetches! > 0);
    else assertEquals(values.prefetches, 0);
    if (lookAhead !== "on") continue;
    const { hints, hintBytes, guesses, guessesUsed, guessesWanted } = values;
    assertEquals(hintBytes, hints! * values.expertBytes!);
    assert(
      guessesWanted! > 50 && guessesUsed! <= guesses! && hints! <= guesses!,
      JSON.stringify(values),
    );
    assert(guessesUsed! / guessesWanted! > 0.45, `${guessesUsed} of ${guessesWanted}`);
  }
});
