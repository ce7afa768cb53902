import { assert } from "@std/assert";
import { assertParity, compareParity, type ParityReport, type ParityRule } from "../parity.ts";
import { loadOracleCase, ORACLE_CASES } from "../oracle_case.ts";
import { complete, greedy, openTestEngine } from "../engine_fixture.ts";
import type { KvFormat } from "../../runtime/model/parts.ts";

for (const name of ORACLE_CASES) {
  Deno.test(`the engine gives the probabilities and greedy tokens of transformers on ${name}`, async () => {
    assertParity(await compareEngine(name, "f32"));
  });
}

Deno.test("the engine with f16 keys and values stays close to transformers on real_heads_fp8", async () => {
  // Rounded keys and values move later routers: gaps up to 3e-4 flip.
  const report = await compareEngine("real_heads_fp8", "f16", { routerTie: 1e-3 });
  assertParity(report);
  // What f32 comes to is below 1e-4: the option has reached the kernels.
  assert(report.worst > 2e-4, `${report.worst} is what f32 gives`);
});

/** What the whole engine makes of a committed case beside what transformers does. */
async function compareEngine(
  name: typeof ORACLE_CASES[number],
  kv: KvFormat,
  rule: ParityRule = {},
): Promise<ParityReport> {
  const { dir, prompts } = loadOracleCase(name);
  // The cases know different numbers of positions: each is planned for all it knows.
  const engine = await openTestEngine(dir, { kv, context: null });
  const results = [];
  for (const prompt of prompts) {
    const { promptLogprobs, tokens } = await complete(
      engine,
      greedy(prompt.tokens, { maxTokens: prompt.greedy.tokens.length, promptLogprobs: 0 }),
    );
    results.push({ logprobs: promptLogprobs, greedy: tokens });
  }
  await engine.close();
  return compareParity(prompts, results, rule);
}
