import { assertEquals } from "@std/assert";
import { RemoteEngine } from "../../runtime/remote.ts";
import { greedy, TEST_OPTIONS } from "../engine_fixture.ts";
import { loadOracleCase } from "../oracle_case.ts";

const { dir, prompts } = loadOracleCase("tiny_fp8");
const { tokens: prompt } = prompts.find(({ tokens }) => tokens.length === 64)!;

/** How many tokens the turn after a watched generation finds cached, which its reader left after `count` tokens. */
async function cachedAfter(engine: RemoteEngine, count: number): Promise<number> {
  const owner = `${count}`;
  const taken: number[] = [];
  for await (
    const event of engine.generate(greedy(prompt, { maxTokens: 100, watched: true, owner }))
  ) {
    if (event.type === "token" && taken.push(event.id) === count) break;
  }
  let cached = -1;
  for await (const event of engine.generate(greedy([...prompt, ...taken, 5], { owner }))) {
    if (event.type === "done") cached = event.usage.cachedTokens;
  }
  return cached;
}

for (const runAhead of [1, 8]) {
  Deno.test(`a real worker keeps the state of the last token read, ${runAhead} steps at once`, async () => {
    const engine = new RemoteEngine({ ...TEST_OPTIONS, model: dir, runAhead });
    await engine.ready;
    for (const count of [1, 3, 8, 9, 12]) {
      assertEquals(await cachedAfter(engine, count), prompt.length + count - 1);
    }
    await engine.close();
  });
}
