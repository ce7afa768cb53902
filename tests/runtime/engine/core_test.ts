import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import type { EngineError, EngineEvent, GenerateRequest } from "../../../runtime/contract.ts";
import { EngineCore } from "../../../runtime/engine/core.ts";
import { request, ScriptedCache, ScriptedRunner } from "./scripted.ts";

interface Outcome {
  readonly events: EngineEvent[];
  readonly error: EngineError | null;
}

class Bench {
  readonly runner = new ScriptedRunner();
  readonly cache: ScriptedCache;
  readonly core: EngineCore;
  #nextId = 0;

  constructor(
    pages = 1000,
    limits: { maxWaiting?: number; contextLength?: number } = {},
    arenas = 1,
  ) {
    this.cache = new ScriptedCache(pages, arenas);
    this.core = new EngineCore(this.runner, this.cache, {
      maxSequences: 3,
      maxWaiting: 8,
      chunkRows: 40,
      contextLength: 1000,
      ...limits,
    });
  }

  generate(
    body: GenerateRequest,
    onEvent: (event: EngineEvent, id: number) => void = () => {},
  ): Promise<Outcome> {
    const id = this.#nextId++;
    const events: EngineEvent[] = [];
    return new Promise((resolve) =>
      this.core.generate(id, body, {
        event: (event) => {
          events.push(event);
          onEvent(event, id);
          if (event.type === "done") resolve({ events, error: null });
        },
        fail: (error) => resolve({ events, error }),
      })
    );
  }
}

const ids = ({ events }: Outcome) =>
  events.flatMap((event) => event.type === "token" ? [event.id] : []);

Deno.test("EngineCore computes a prompt in chunks, then one token a step", async () => {
  const bench = new Bench();
  const outcome = bench.generate(request(90));
  bench.core.start();
  const { events } = await outcome;
  assertEquals(bench.runner.steps.map((step) => step.segments[0]!.tokens.length), [
    40,
    40,
    10,
    1,
    1,
  ]);
  assertEquals(bench.runner.steps.map((step) => step.phase), [
    "prefill",
    "prefill",
    "decode",
    "decode",
    "decode",
  ]);
  assertEquals(events.map((event) => event.type), [
    "prefill",
    "prefill",
    "prefill",
    "token",
    "token",
    "token",
    "done",
  ]);
  assertEquals(ids(await outcome), [189, 190, 191]);
  await bench.core.stop();
  assertEquals(bench.cache.free, 1000);
});

Deno.test("EngineCore ends chunks at checkpoints and keeps the state there, at the prompt's end and at the end", async () => {
  const bench = new Bench();
  const outcome = bench.generate(request(70, { checkpoints: [10, 60] }));
  bench.core.start();
  await outcome;
  await bench.core.stop();
  assertEquals(bench.runner.steps.slice(0, 4).map((step) => step.segments[0]!.tokens.length), [
    10,
    40,
    10,
    10,
  ]);
  assertEquals(bench.cache.checkpoints, [10, 60, 70, 72]);
});

Deno.test("EngineCore decodes sequences together and lets a long prompt take turns with them", async () => {
  const bench = new Bench();
  const short = bench.generate(request(5, { maxTokens: 6 }));
  const long = bench.generate(request(120, { maxTokens: 2 }));
  bench.core.start();
  await Promise.all([short, long]);
  await bench.core.stop();
  const shapes = bench.runner.steps.map((step) =>
    step.segments.map((segment) => segment.tokens.length).join("+")
  );
  assertEquals(shapes, ["5", "1", "40", "1", "40", "1", "40", "1+1", "1"]);
  assertEquals(ids(await long), [219, 220]);
});

Deno.test("EngineCore scores a prompt without sampling when no token is wanted", async () => {
  const bench = new Bench();
  const outcome = bench.generate(request(50, { maxTokens: 0, promptLogprobs: 1 }));
  bench.core.start();
  const { events } = await outcome;
  await bench.core.stop();
  const scores = events.find((event) => event.type === "prompt_scores")!;
  assert(scores.type === "prompt_scores");
  assertEquals(scores.scores.map((score) => score.id), Array.from({ length: 49 }, (_, i) => i + 1));
  assertEquals(scores.scores[0]!.top, [{ id: 1, logprob: -1 }]);
  const done = events.at(-1)!;
  assert(done.type === "done");
  assertEquals([done.reason, done.usage.completionTokens], ["length", 0]);
});

Deno.test("EngineCore ends at a stop id, at the token limit and at the context's end", async () => {
  const bench = new Bench(1000, { contextLength: 8 });
  bench.core.start();
  const reasonOf = async (body: GenerateRequest) => {
    const last = (await bench.generate(body)).events.at(-1)!;
    return last.type === "done" ? [last.reason, last.usage.completionTokens] : null;
  };
  assertEquals(await reasonOf(request(4, { stopIds: [104] })), ["stop", 2]);
  assertEquals(await reasonOf(request(4, { maxTokens: 1 })), ["length", 1]);
  assertEquals(await reasonOf(request(4, { maxTokens: 99 })), ["length", 4]);
  const { error } = await bench.generate(request(8));
  assertEquals(error?.code, "context_length");
  await bench.core.stop();
});

Deno.test("EngineCore frees a cancelled sequence after the step in flight, in prefill and in decode", async () => {
  for (const cancelAt of ["prefill", "token"] as const) {
    const bench = new Bench();
    bench.generate(request(200, { maxTokens: 500 }), (event, id) => {
      if (event.type === cancelAt) bench.core.cancel(id);
    });
    bench.core.start();
    while (bench.core.load().running > 0 || bench.core.counters.steps === 0) {
      await new Promise((r) => setTimeout(r, 1));
    }
    assertEquals(bench.cache.free, 1000);
    assertEquals(bench.runner.steps.length, cancelAt === "prefill" ? 1 : 5);
    await bench.core.stop();
  }
});

Deno.test("EngineCore refuses what neither a slot nor the queue can hold, and serves the rest", async () => {
  for (const [maxWaiting, served] of [[2, 5], [0, 3]] as const) {
    const bench = new Bench(1000, { maxWaiting });
    const outcomes = Array.from({ length: 7 }, () => bench.generate(request(4)));
    bench.core.start();
    const codes = (await Promise.all(outcomes)).map(({ error }) => error?.code ?? "done");
    await bench.core.stop();
    assertEquals(codes, [
      ...new Array<string>(served).fill("done"),
      ...new Array<string>(7 - served).fill("overloaded"),
    ]);
  }
});

Deno.test("EngineCore lets a short prompt by while it computes a long one", async () => {
  const bench = new Bench();
  const long = bench.generate(request(200, { maxTokens: 1 }));
  const short = bench.generate(request(30, { maxTokens: 1 }));
  bench.core.start();
  await Promise.all([long, short]);
  await bench.core.stop();
  const shapes = bench.runner.steps.map(({ segments }) => segments[0]!.tokens.length);
  assertEquals(shapes, [40, 30, 40, 40, 40, 40]);
});

Deno.test("EngineCore sends the youngest back when KV runs out, and its answer is the same", async () => {
  const bench = new Bench(5);
  const first = bench.generate(request(60, { maxTokens: 60 }));
  const second = bench.generate(request(30, { maxTokens: 50 }));
  bench.core.start();
  const outcomes = await Promise.all([first, second]);
  await bench.core.stop();
  assertEquals(ids(outcomes[0]!), Array.from({ length: 60 }, (_, i) => 159 + i));
  assertEquals(ids(outcomes[1]!), Array.from({ length: 50 }, (_, i) => 129 + i));
  assertEquals(bench.cache.free, 5);
});

Deno.test("EngineCore scores a prompt once, also when it had to begin again", async () => {
  const bench = new Bench(5);
  const first = bench.generate(request(60, { maxTokens: 40 }));
  const scored = bench.generate(request(90, { promptLogprobs: 0, maxTokens: 40 }));
  bench.core.start();
  const [, { events }] = await Promise.all([first, scored]);
  await bench.core.stop();
  assert(bench.core.counters.preempted > 0);
  const scores = events.filter((event) => event.type === "prompt_scores");
  assertEquals(scores.length, 1);
  const wanted = Array.from({ length: 89 }, (_, i) => i + 1);
  assertEquals(scores[0]!.scores.map(({ id }) => id), wanted);
});

Deno.test("EngineCore takes room from sequences of the same arena only", async () => {
  const bench = new Bench(3, {}, 2);
  const [first, second] = [60, 40].map((maxTokens) => bench.generate(request(30, { maxTokens })));
  const third = bench.generate(request(30, { maxTokens: 40 }));
  bench.core.start();
  const outcomes = await Promise.all([first, second, third]);
  await bench.core.stop();
  assertEquals(outcomes.map((outcome) => ids(outcome!).length), [60, 40, 40]);
  // The third shares the arena of the first; the second, younger than the first too, stays.
  assert(bench.core.counters.preempted > 0);
  const seconds = bench.runner.steps.flatMap(({ segments }) =>
    segments.filter(({ arena }) => arena === 1).map(({ context }) => context)
  );
  assertEquals(seconds.filter((context) => context === 0).length, 1);
  assertEquals(bench.cache.free, 6);
});

Deno.test("EngineCore fails the sequences of a broken step and goes on with the others", async () => {
  const bench = new Bench();
  bench.runner.before = (step) => {
    if (step.segments[0]!.tokens.includes(7)) throw new Error("expert 3 is damaged");
  };
  bench.core.start();
  const [bad, good] = await Promise.all([bench.generate(request(20)), bench.generate(request(5))]);
  await bench.core.stop();
  assertStringIncludes(bad.error!.message, "expert 3 is damaged");
  assertEquals(ids(good).length, 3);
  assertEquals(bench.cache.free, 1000);
});

Deno.test("EngineCore fails the one sequence whose rows failed, and no other of the step", async () => {
  const bench = new Bench();
  bench.runner.failed = ({ segments }) =>
    new Map(
      segments.flatMap(({ context }, i) =>
        context === 21 ? [[i, new Error("NaN in expert 3")]] : []
      ),
    );
  bench.core.start();
  const [bad, good] = await Promise.all([
    bench.generate(request(20, { maxTokens: 9 })),
    bench.generate(request(5, { maxTokens: 9 })),
  ]);
  await bench.core.stop();
  assertEquals([bad.error?.message, ids(bad).length], ["NaN in expert 3", 2]);
  assertEquals([good.error, ids(good).length], [null, 9]);
  assert(bench.runner.steps.some(({ segments }) => segments.length === 2));
});

Deno.test("EngineCore drains: refuses new work, lets old work finish, cuts what is left", async () => {
  const bench = new Bench();
  bench.core.start();
  const short = bench.generate(request(4));
  const endless = bench.generate(request(4, { maxTokens: 900 }), () => {});
  bench.runner.before = () => {};
  const drained = bench.core.drain(50);
  const late = await bench.generate(request(4));
  await drained;
  assertEquals((await short).error, null);
  assertEquals(late.error?.code, "shutdown");
  const cut = await endless;
  assert(cut.error === null || cut.error.code === "shutdown");
  await bench.core.stop();
});

Deno.test("EngineCore does idle work only while nothing runs, one piece at a time, to its end", async () => {
  const bench = new Bench();
  const order: string[] = [];
  bench.runner.before = () => order.push("step");
  let pieces = 0;
  let second: Promise<Outcome> | null = null;
  bench.core.whenIdle(async () => {
    await new Promise((resolve) => setTimeout(resolve, 1));
    order.push("idle");
    if (++pieces === 2) second = bench.generate(request(10));
    return pieces < 4;
  });
  const first = bench.generate(request(10));
  bench.core.start();
  await first;
  for (let i = 0; i < 500 && pieces < 4; i++) await new Promise((r) => setTimeout(r, 1));
  await second;
  // One prompt and two further tokens are three steps; the second one waited for one piece at most.
  const steps = ["step", "step", "step"];
  assertEquals(order, [...steps, "idle", "idle", ...steps, "idle", "idle"]);
  await bench.core.stop();
});
