import { assertEquals } from "@std/assert";
import { loadOracleCase, ORACLE_CASES } from "../oracle_case.ts";
import { compareParity } from "../parity.ts";
import { complete, greedy, openTestEngine } from "../engine_fixture.ts";

for (const name of ORACLE_CASES) {
  Deno.test(`the engine gives the probabilities and greedy tokens of transformers on ${name}`, async () => {
    const { dir, prompts } = loadOracleCase(name);
    const engine = await openTestEngine(dir);
    const results = [];
    for (const prompt of prompts) {
      const { promptLogprobs, tokens } = await complete(
        engine,
        greedy(prompt.tokens, { maxTokens: prompt.greedy.tokens.length, promptLogprobs: 0 }),
      );
      results.push({ logprobs: promptLogprobs, greedy: tokens });
    }
    await engine.close();
    assertEquals(compareParity(prompts, results).problems, []);
  });
}
