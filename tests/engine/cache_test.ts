import { assert, assertAlmostEquals, assertEquals, assertGreater } from "@std/assert";
import type { OpenedEngine } from "../../runtime/open.ts";
import { complete, type Completion, greedy, openTestEngine } from "../engine_fixture.ts";
import { loadOracleCase } from "../oracle_case.ts";

const { dir, prompts } = loadOracleCase("tiny_fp8");
const history = prompts.find(({ tokens }) => tokens.length === 1000)!.tokens;
/** A user's second message, and the ids that the template puts around it. */
const question = [5, 9, 17, 33, 65, 129, 257, 2, 4, 8];

async function withEngine<T>(
  use: (engine: OpenedEngine) => Promise<T>,
  options: Parameters<typeof openTestEngine>[1] = {},
): Promise<T> {
  const engine = await openTestEngine(dir, options);
  try {
    return await use(engine);
  } finally {
    await engine.close();
  }
}

/** What the same request gives on an engine that knows nothing. */
function fromScratch(tokens: readonly number[], maxTokens: number): Promise<Completion> {
  return withEngine((engine) => complete(engine, greedy(tokens, { maxTokens, logprobs: 0 })));
}

function assertSame(got: Completion, want: Completion): void {
  assertEquals(got.tokens, want.tokens);
  got.logprobs.forEach((p, i) => assertAlmostEquals(p, want.logprobs[i]!, 1e-3));
}

Deno.test("turn two of a chat computes its own tokens only, with the probabilities from scratch", async () => {
  await withEngine(async (engine) => {
    const first = await complete(engine, greedy(history, { maxTokens: 20 }));
    const before = engine.counters().values.promptTokens!;
    // The whole answer is kept in the prompt: all but its last token has been run.
    const turn = [...history, ...first.tokens, ...question];
    const second = await complete(engine, greedy(turn, { maxTokens: 12, logprobs: 0 }));
    assertEquals(second.usage.cachedTokens, history.length + 19);
    assertEquals(engine.counters().values.promptTokens! - before, 1 + question.length);
    assertSame(second, await fromScratch(turn, 12));
  });
});

Deno.test("turn two starts from before the answer when the template drops its thinking", async () => {
  await withEngine(async (engine) => {
    const border = 960;
    await complete(engine, greedy(history, { maxTokens: 20, checkpoints: [400, border] }));
    const before = engine.counters().values.promptTokens!;
    const turn = [...history.slice(0, border), 7, 7, 7, ...question];
    const second = await complete(engine, greedy(turn, { maxTokens: 12, logprobs: 0 }));
    assertEquals(second.usage.cachedTokens, border);
    assertEquals(engine.counters().values.promptTokens! - before, 3 + question.length);
    assertSame(second, await fromScratch(turn, 12));
  });
});

Deno.test("two requests that share a prefix at the same time are both right", async () => {
  await withEngine(async (engine) => {
    const shared = history.slice(0, 300);
    await complete(engine, greedy([...shared, 1], { maxTokens: 1, checkpoints: [300] }));
    const turns = [[...shared, 2, 3], [...shared, 4, 5]];
    const got = await Promise.all(
      turns.map((turn) => complete(engine, greedy(turn, { maxTokens: 40, logprobs: 0 }))),
    );
    assertEquals(got.map(({ usage }) => usage.cachedTokens), [300, 300]);
    for (const [i, turn] of turns.entries()) assertSame(got[i]!, await fromScratch(turn, 40));
  });
});

Deno.test("a checkpoint that had to go is computed again; one that went to RAM comes back", async () => {
  const prefix = (salt: number) => [salt, ...history.slice(0, 100)];
  const visit = (engine: OpenedEngine, salt: number) =>
    complete(
      engine,
      greedy([...prefix(salt), 9], { maxTokens: 8, logprobs: 0, checkpoints: [101] }),
    );
  for (const stateCacheBytes of [0, 2 ** 26]) {
    await withEngine(async (engine) => {
      const first = await visit(engine, 1);
      for (let salt = 2; salt < 12; salt++) await visit(engine, salt);
      const again = await visit(engine, 1);
      if (stateCacheBytes === 0) assertEquals(again.usage.cachedTokens, 0);
      else assertGreater(again.usage.cachedTokens, 100);
      assertSame(again, first);
    }, { maxSequences: 1, context: 256, stateCacheBytes });
  }
});

Deno.test("owners do not share state", async () => {
  await withEngine(async (engine) => {
    const request = (owner: string) => greedy(history.slice(0, 200), { maxTokens: 4, owner });
    await complete(engine, request("a"));
    assertEquals((await complete(engine, request("b"))).usage.cachedTokens, 0);
    assert(
      (await complete(engine, request("a"))).usage.cachedTokens === 0,
      "the last token must run",
    );
    const longer = greedy([...history.slice(0, 200), 3], { maxTokens: 4, owner: "a" });
    assertEquals((await complete(engine, longer)).usage.cachedTokens, 200);
  });
});
