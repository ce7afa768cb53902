import { assertEquals } from "@std/assert";
import { LEAST_LIMITS } from "../../runtime/gpu/device.ts";
import { disguise } from "../disguise.ts";
import { complete, greedy, openTestEngine } from "../engine_fixture.ts";
import { loadOracleCase } from "../oracle_case.ts";
import { assertParity, compareParity } from "../parity.ts";

const { dir, prompts } = loadOracleCase("tiny_fp8", 65);

Deno.test("a GPU of the least limits keeps parity, with the kernels that only GPUs take", async () => {
  using _ = disguise({
    limits: {
      ...LEAST_LIMITS,
      maxComputeInvocationsPerWorkgroup: 256,
      maxComputeWorkgroupSizeX: 256,
    },
    gpu: "GPU of the least limits",
  });
  const lines: string[] = [];
  const options = { kernels: "safe-32x8", context: 256, runAhead: 4, kv: "f16" } as const;
  const engine = await openTestEngine(dir, options, { log: (line) => lines.push(line) });
  try {
    const results = await Promise.all(
      prompts.map(async ({ tokens, greedy: { tokens: wanted } }) => {
        const request = greedy(tokens, { maxTokens: wanted.length, promptLogprobs: 0 });
        const { promptLogprobs, tokens: ids } = await complete(engine, request);
        return { logprobs: promptLogprobs, greedy: ids };
      }),
    );
    assertEquals(lines[0], "adapter: GPU of the least limits");
    assertParity(compareParity(prompts, results));
  } finally {
    await engine.close();
  }
});
