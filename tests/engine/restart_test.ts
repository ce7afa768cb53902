import { assert, assertEquals, assertRejects } from "@std/assert";
import { EngineError, type EngineEvent } from "../../runtime/contract.ts";
import { RemoteEngine, type WorkerPort } from "../../runtime/remote.ts";
import { greedy, TEST_OPTIONS } from "../engine_fixture.ts";
import { loadOracleCase } from "../oracle_case.ts";

const { dir, prompts } = loadOracleCase("tiny_fp8");
const { tokens, greedy: expected } = prompts.find((prompt) => prompt.tokens.length === 64)!;
const WORKER = new URL("../../runtime/worker.ts", import.meta.url);

/** Resolves when the engine is as it should be, or rejects after 20 s. */
async function until(holds: () => boolean, what: string): Promise<void> {
  for (let tries = 0; tries < 2000; tries++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`Waited in vain until ${what}`);
}

const ids = (events: readonly EngineEvent[]) =>
  events.flatMap((event) => event.type === "token" ? [event.id] : []);

Deno.test("a real worker takes over from one whose device was lost, and its answers are right", async () => {
  const workers: WorkerPort[] = [];
  const engine = new RemoteEngine({ ...TEST_OPTIONS, model: dir }, () => {
    const worker: WorkerPort = new Worker(WORKER, { type: "module" });
    workers.push(worker);
    return worker;
  });
  await engine.ready;
  const cut = engine.generate(greedy(tokens, { maxTokens: 1500 }));
  assertEquals((await cut.next()).value?.type, "prefill");
  const lost = { data: { type: "lost", message: "the device is gone" } } as const;
  workers[0]!.onmessage!(new MessageEvent("message", lost));
  await assertRejects(() => Array.fromAsync(cut), EngineError, "the device is gone");
  assertEquals(engine.status().state, "loading");
  await until(() => engine.status().state === "ready", "the second worker is ready");
  const events = await Array.fromAsync(engine.generate(greedy(tokens, { maxTokens: 8 })));
  assertEquals(ids(events), [...expected.tokens].slice(0, 8));
  assertEquals((await engine.counters()).values.deviceLosses, 1);

  // A client that reads nothing, one that leaves at once, then a drain that cuts what is left.
  const endless = engine.generate(greedy(tokens, { maxTokens: 1900 }));
  assert(!(await endless.next()).done);
  const gone = new AbortController();
  const left = Array.fromAsync(
    engine.generate(greedy(tokens, { maxTokens: 1900 }), gone.signal),
  );
  gone.abort();
  assertEquals((await left).at(-1)?.type === "done", false);
  await engine.drain(0);
  await assertRejects(() => Array.fromAsync(endless), EngineError, "shutting down");
  await assertRejects(() => engine.generate(greedy(tokens)).next(), EngineError, "shutting down");
  await engine.close();
  assertEquals(workers.length, 2);
});
