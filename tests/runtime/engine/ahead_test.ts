/** The engine's loop when its runner takes several decode steps at once. @module */
import { setImmediate } from "node:timers";
import { assert, assertEquals } from "@std/assert";
import type { EngineEvent, GenerateRequest } from "../../../runtime/contract.ts";
import { EngineCore } from "../../../runtime/engine/core.ts";
import { request, ScriptedCache, ScriptedRunner } from "./scripted.ts";

interface Outcome {
  readonly events: EngineEvent[];
  readonly checkpoints: readonly number[];
}

const untimed = ({ events }: Outcome) =>
  events.map((event) => event.type === "done" ? { ...event, timings: null } : event);

/** Runs requests at the same time with `ahead` steps at once; the first is cancelled at its token `cancelAt`. */
async function run(
  ahead: number,
  list: readonly GenerateRequest[],
  { pages = 1000, contextLength = 1000, cancelAt = Infinity, failsAgain = false } = {},
) {
  const runner = new ScriptedRunner();
  runner.failed = ({ heads }) => new Map(failsAgain && heads.length === 0 ? [[0, "broken"]] : []);
  runner.ahead = ahead;
  const cache = new ScriptedCache(pages);
  const limits = { maxSequences: 3, maxWaiting: 8, chunkRows: 40, contextLength };
  const core = new EngineCore(runner, cache, limits);
  const outcomes = list.map((): Outcome => ({ events: [], checkpoints: cache.checkpoints }));
  let open = list.length;
  const ended = new Promise<void>((resolve) =>
    list.forEach((body, id) => {
      let tokens = 0;
      core.generate(id, body, {
        event: (event) => {
          outcomes[id]!.events.push(event);
          if (event.type === "token" && id === 0 && ++tokens === cancelAt) {
            core.cancel(id);
            open--;
          }
          if (event.type === "done") open--;
          if (open === 0) resolve();
        },
        fail: (error) => {
          throw error;
        },
      });
    })
  );
  core.start();
  await ended;
  while (core.load().running > 0) await new Promise((resolve) => setTimeout(resolve, 1));
  await core.stop();
  assertEquals(cache.free, pages);
  return { outcomes, runner, cache, core };
}

Deno.test("EngineCore reports the same events and keeps the same states, however many steps it takes at once", async () => {
  const list = [
    request(5, { maxTokens: 20, checkpoints: [2] }),
    request(50, { maxTokens: 3 }),
    request(7, { maxTokens: 99, stopIds: [110] }),
  ];
  const single = await run(1, list);
  for (const ahead of [2, 3, 8, 32]) {
    const got = await run(ahead, list);
    assertEquals(got.outcomes.map(untimed), single.outcomes.map(untimed));
    assertEquals(got.cache.checkpoints.toSorted(), single.cache.checkpoints.toSorted());
    assertEquals(got.core.counters.generatedTokens, single.core.counters.generatedTokens);
    assert(got.runner.steps.length < single.runner.steps.length);
  }
});

Deno.test("EngineCore takes no more steps at once than a sequence has left, and has pages for each", async () => {
  const { runner } = await run(8, [request(60, { maxTokens: 99 })], { contextLength: 90 });
  const batches = runner.steps.flatMap(({ ahead, segments: [segment] }) =>
    ahead ? [{ steps: ahead.steps, left: ahead.limits[0]!.left, ...segment! }] : []
  );
  assertEquals(batches.map(({ steps, left }) => [steps, left]), [[8, 29], [8, 21], [8, 13], [
    5,
    5,
  ]]);
  for (const { context, steps, pages } of batches) assert(pages.length * 32 >= context + steps);
});

Deno.test("EngineCore takes single steps where the pages for more are missing", async () => {
  const list = [request(30, { maxTokens: 30 }), request(20, { maxTokens: 40 })];
  const single = await run(1, list, { pages: 3 });
  const ahead = await run(8, list, { pages: 3 });
  assertEquals(ahead.outcomes.map(untimed), single.outcomes.map(untimed));
  assert(ahead.runner.steps.some((step) => step.ahead));
  assert(ahead.runner.steps.some((step) => step.phase === "decode" && !step.ahead));
});

Deno.test("EngineCore keeps the state of the last token taken when a stream is cancelled in mid-batch", async () => {
  for (const cancelAt of [1, 2, 5, 8, 9]) {
    const list = [request(10, { maxTokens: 90 }), request(6, { maxTokens: 30 })];
    const single = await run(1, list, { cancelAt });
    const ahead = await run(8, list, { cancelAt });
    assertEquals(ahead.outcomes.map(untimed), single.outcomes.map(untimed));
    assert(single.cache.checkpoints.includes(10 + cancelAt - 1));
    assertEquals(ahead.cache.checkpoints.toSorted(), single.cache.checkpoints.toSorted());
    // What has to be run again is at most a batch, unsampled.
    const again = ahead.runner.steps.filter(({ phase, heads }) =>
      phase === "decode" && heads.length === 0
    );
    assert(again.length < 8);
  }
});

Deno.test("EngineCore keeps no state of a cancelled stream whose tokens could not be run again", async () => {
  const { cache, runner } = await run(8, [request(10, { maxTokens: 90 })], {
    cancelAt: 5,
    failsAgain: true,
  });
  assert(runner.steps.some(({ phase, heads }) => phase === "decode" && heads.length === 0));
  assertEquals(cache.checkpoints, [10]);
});

/** Runs one watched generation of 40 tokens; `onToken` hears of each with its number and how many steps were begun. */
async function runWatched(
  ahead: number,
  onToken: (core: EngineCore, count: number, runner: ScriptedRunner) => void,
): Promise<void> {
  const runner = new ScriptedRunner();
  runner.ahead = ahead;
  const limits = { maxSequences: 3, maxWaiting: 8, chunkRows: 40, contextLength: 1000 };
  const core = new EngineCore(runner, new ScriptedCache(100), limits);
  let count = 0;
  await new Promise<void>((resolve, reject) => {
    core.generate(0, request(4, { maxTokens: 40, watched: true }), {
      event: ({ type }) => {
        if (type === "token") onToken(core, ++count, runner);
        if (type === "done") resolve();
      },
      fail: reject,
    });
    core.start();
  });
  await core.stop();
  assertEquals(count, 40);
}

Deno.test("EngineCore runs nothing more of a watched generation until its tokens were taken", async () => {
  for (const ahead of [1, 8]) {
    const early: number[] = [];
    await runWatched(ahead, async (core, count, { steps }) => {
      const begun = steps.length;
      for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
      if (steps.length > begun) early.push(count);
      core.take(0, count);
    });
    assertEquals(early, []);
  }
});

Deno.test("EngineCore waits once for an owner who takes nothing, then goes on", async () => {
  const began = performance.now();
  await runWatched(1, () => {});
  const ms = performance.now() - began;
  assert(ms >= 400 && ms < 5000, `${ms} ms`);
});
