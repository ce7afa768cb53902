import { assertEquals } from "@std/assert";
import type { GenerateRequest } from "../../../runtime/contract.ts";
import { EngineCore } from "../../../runtime/engine/core.ts";
import { request, ScriptedCache, ScriptedRunner } from "./scripted.ts";

/** The rows of every step that go through the head. */
async function headRows(body: GenerateRequest): Promise<number[][]> {
  const runner = new ScriptedRunner();
  const limits = { maxSequences: 1, maxWaiting: 1, chunkRows: 20, contextLength: 100 };
  const core = new EngineCore(runner, new ScriptedCache(10), limits);
  const done = new Promise<void>((resolve, reject) =>
    core.generate(0, body, {
      event: ({ type }) => {
        if (type === "done") resolve();
      },
      fail: reject,
    })
  );
  core.start();
  await done;
  return runner.steps.map(({ heads }) => heads.map(({ row }) => row));
}

const upTo = (count: number) => Array.from({ length: count }, (_, row) => row);

Deno.test("only the last row of a prompt goes through the head, and every decoded row", async () => {
  assertEquals(await headRows(request(50, { maxTokens: 3 })), [[], [], [9], [0], [0]]);
});

Deno.test("all rows of a prompt go through the head where their log-probabilities are asked for", async () => {
  const scored = request(50, { maxTokens: 1, promptLogprobs: 0 });
  assertEquals(await headRows(scored), [upTo(20), upTo(20), upTo(10)]);
});
