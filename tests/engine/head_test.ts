import { assert, assertEquals } from "@std/assert";
import { compareParity } from "../parity.ts";
import { loadOracleCase } from "../oracle_case.ts";
import { complete, greedy, openTestEngine } from "../engine_fixture.ts";
import type { HeadFormat } from "../../runtime/model/parts.ts";

Deno.test("a head of 8 bits stays close to transformers, takes less memory, and changes nothing unasked", async () => {
  const { dir, prompts } = loadOracleCase("tiny_fp8");
  const run = async (head: HeadFormat) => {
    const engine = await openTestEngine(dir, { head, context: null });
    const results = [];
    for (const { tokens, greedy: { tokens: wanted } } of prompts) {
      const request = greedy(tokens, { maxTokens: wanted.length, promptLogprobs: 0 });
      const done = await complete(engine, request);
      results.push({ logprobs: done.promptLogprobs, greedy: done.tokens });
    }
    const { plannedBytes } = engine.counters().values;
    await engine.close();
    return { report: compareParity(prompts, results, { exemptShare: 1 }), bytes: plannedBytes! };
  };
  const stored = await run("stored");
  const rounded = await run("int8");
  console.log(
    `worst difference of a log-probability: ${
      stored.report.worst.toExponential(1)
    } with the head as stored, ` +
      `${rounded.report.worst.toExponential(1)} with 8 bits`,
  );
  assert(rounded.report.worst < 0.2, `${rounded.report.worst}`);
  // That little is lost shows that it is done at all.
  assert(rounded.report.worst > 10 * stored.report.worst, `${rounded.report.worst}`);
  assert(rounded.bytes < stored.bytes, `${rounded.bytes} bytes of ${stored.bytes}`);
  assertEquals(rounded.report.greedyCompared > 0, true);
});
