import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import type { OpenedEngine } from "../../runtime/open.ts";
import { loadOracleCase } from "../oracle_case.ts";
import { complete, type Completion, greedy, openTestEngine } from "../engine_fixture.ts";

const { dir, prompts } = loadOracleCase("tiny_fp8");
const promptOf = (length: number) => prompts.find(({ tokens }) => tokens.length === length)!.tokens;

/** Scores a prompt and continues it; several prompts at once where several are given. */
function run(
  engine: OpenedEngine,
  list: readonly (readonly number[])[],
  maxTokens = 12,
): Promise<Completion[]> {
  return Promise.all(
    list.map((tokens) =>
      complete(engine, greedy(tokens, { maxTokens, promptLogprobs: 0, logprobs: 3 }))
    ),
  );
}

async function withEngine<T>(
  options: Parameters<typeof openTestEngine>[1],
  hooks: Parameters<typeof openTestEngine>[2],
  use: (engine: OpenedEngine) => Promise<T>,
): Promise<T> {
  const engine = await openTestEngine(dir, options, hooks);
  try {
    return await use(engine);
  } finally {
    await engine.close();
  }
}

/** The budget that leaves each layer `slots` expert slots. */
function budgetFor({ runner: { plan } }: OpenedEngine, slots: number): string {
  const experts = plan.rows.find(([purpose]) => purpose === "experts")!;
  return String(plan.total - experts[2] + experts[2] / plan.expertSlots * slots);
}

Deno.test("any GPU budget gives the same tokens and log-probabilities, bit for bit", async () => {
  const list = [promptOf(65), promptOf(300)];
  const resident = await withEngine({}, {}, async (engine) => {
    assert(engine.runner.plan.allResident);
    return {
      budgets: [2, 3, 7].map((slots) => budgetFor(engine, slots)),
      results: await run(engine, list),
    };
  });
  for (const [index, vram] of resident.budgets.entries()) {
    await withEngine({ vram }, {}, async (engine) => {
      assertEquals(engine.runner.plan.expertSlots, [2, 3, 7][index]);
      assertEquals(await run(engine, list), resident.results);
      const { misses, evictions, bytes } = engine.counters().values;
      assert(misses! > 32 && evictions! > 0, `${misses} misses, ${evictions} evictions`);
      assertEquals(bytes! % misses!, 0);
    });
  }
});

Deno.test("a device that binds little memory gives the same tokens: matrices, experts and KV are split", async () => {
  const list = [promptOf(65), promptOf(64), promptOf(63)];
  const whole = await withEngine({ context: 128 }, {}, (engine) => run(engine, list));
  const maxBinding = 32 * 1024;
  await withEngine({ context: 128, chunkRows: 512 }, { maxBinding }, async (engine) => {
    assert(engine.runner.plan.kvArenas > 1, "the KV pool was not split");
    const split = await run(engine, list);
    assertEquals(split.map(({ tokens }) => tokens), whole.map(({ tokens }) => tokens));
    split.forEach(({ promptLogprobs }, i) =>
      promptLogprobs.forEach((p, j) => assertAlmostEquals(p, whole[i]!.promptLogprobs[j]!, 1e-3))
    );
  });
});

Deno.test("sequences that decode together get the bits they have alone", async () => {
  const list = [1, 2, 63, 64].map(promptOf);
  await withEngine({ maxSequences: 4 }, {}, async (engine) => {
    const alone = [];
    for (const tokens of list) alone.push(...await run(engine, [tokens], 24));
    const steps = engine.counters().values.steps!;
    assertEquals(await run(engine, list, 24), alone);
    assert(engine.counters().values.steps! - steps < 40, "they did not run together");
  });
});

Deno.test("a prompt split anywhere gives the log-probabilities of the whole", async () => {
  const tokens = promptOf(300);
  const whole = await withEngine({}, {}, (engine) => run(engine, [tokens]));
  for (const chunkRows of [16, 17, 64, 129]) {
    const [split] = await withEngine({ chunkRows }, {}, (engine) => run(engine, [tokens]));
    split!.promptLogprobs.forEach((p, i) =>
      assertAlmostEquals(p, whole[0]!.promptLogprobs[i]!, 1e-3)
    );
    assertEquals(split!.tokens, whole[0]!.tokens);
  }
});

Deno.test("decoding agrees with a prompt that already holds the answer", async () => {
  await withEngine({}, {}, async (engine) => {
    const prompt = promptOf(64);
    const [first] = await run(engine, [prompt], 40);
    const [again] = await run(engine, [[...prompt, ...first!.tokens]], 1);
    const scored = again!.promptLogprobs.slice(prompt.length - 1);
    scored.forEach((p, i) => assertAlmostEquals(p, first!.logprobs[i]!, 1e-3));
  });
});

Deno.test("a seed gives the same tokens again, alone or in company; another seed gives others", async () => {
  await withEngine({}, {}, async (engine) => {
    const request = (seed: number) => {
      const { sampling, ...rest } = greedy(promptOf(63), { maxTokens: 24 });
      return { ...rest, sampling: { ...sampling, temperature: 1, topP: 0.95, topK: 40, seed } };
    };
    const alone = (await complete(engine, request(7))).tokens;
    const together = await Promise.all([8, 7, 9].map((seed) => complete(engine, request(seed))));
    assertEquals(together[1]!.tokens, alone);
    assert(together[0]!.tokens.join() !== alone.join());
  });
});
