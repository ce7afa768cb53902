import { assertEquals, assertRejects } from "@std/assert";
import { EngineError, type EngineEvent } from "../../runtime/contract.ts";
import { parseOptions } from "../../runtime/options.ts";
import type { FromWorker, ToWorker } from "../../runtime/protocol.ts";
import { EngineBroken, RemoteEngine, type WorkerPort } from "../../runtime/remote.ts";
import { request } from "./engine/scripted.ts";

/** A worker whose messages the test writes. */
class FakeWorker implements WorkerPort {
  onmessage: ((event: MessageEvent<FromWorker>) => void) | null = null;
  onerror: ((event: ErrorEvent) => void) | null = null;
  readonly sent: ToWorker[] = [];
  terminated = false;

  postMessage(message: ToWorker): void {
    this.sent.push(message);
  }

  terminate(): void {
    this.terminated = true;
  }

  say(message: FromWorker): void {
    this.onmessage?.(new MessageEvent("message", { data: message }));
  }
}

const info = {
  id: "demo",
  vocabSize: 640,
  contextLength: 512,
  parameters: 1,
  weightBytes: 1,
  adapter: "none",
  software: true,
};

function open(): { engine: RemoteEngine; workers: FakeWorker[] } {
  const workers: FakeWorker[] = [];
  const options = parseOptions([], () => undefined, "demo").engine;
  const engine = new RemoteEngine(options, () => {
    const worker = new FakeWorker();
    workers.push(worker);
    return worker;
  });
  return { engine, workers };
}

const token = (id: number): EngineEvent => ({ type: "token", id, logprob: -1 });
const done: EngineEvent = {
  type: "done",
  reason: "stop",
  usage: { promptTokens: 1, cachedTokens: 0, completionTokens: 1 },
  timings: { queueMs: 0, promptMs: 0, predictedMs: 0 },
};

Deno.test("RemoteEngine refuses to generate before it is ready, and says where loading stands", async () => {
  const { engine, workers } = open();
  assertEquals(workers[0]!.sent[0]!.type, "open");
  await assertRejects(() => engine.generate(request(1)).next(), EngineError, "still loading");
  workers[0]!.say({
    type: "status",
    status: { state: "loading", phase: "trunk", done: 1, total: 2 },
  });
  assertEquals(engine.status(), { state: "loading", phase: "trunk", done: 1, total: 2 });
  workers[0]!.say({ type: "ready", info });
  assertEquals([(await engine.ready).id, engine.status().state], ["demo", "ready"]);
});

Deno.test("RemoteEngine streams events in order and does not cancel what is done", async () => {
  const { engine, workers } = open();
  const worker = workers[0]!;
  worker.say({ type: "ready", info });
  const stream = engine.generate(request(1));
  const first = stream.next();
  const { id } = worker.sent.find((message) => message.type === "generate")!;
  worker.say({ type: "event", id, event: token(5) });
  worker.say({ type: "event", id, event: token(6) });
  worker.say({ type: "event", id, event: done });
  const rest = await Array.fromAsync(stream);
  assertEquals([(await first).value, ...rest], [token(5), token(6), done]);
  assertEquals(worker.sent.map((message) => message.type), ["open", "generate"]);
});

Deno.test("RemoteEngine cancels when the signal aborts and when the reader leaves", async () => {
  for (const how of ["signal", "return"]) {
    const { engine, workers } = open();
    const worker = workers[0]!;
    worker.say({ type: "ready", info });
    const abort = new AbortController();
    const stream = engine.generate(request(1), abort.signal);
    const first = stream.next();
    worker.say({ type: "event", id: 1, event: token(5) });
    await first;
    if (how === "signal") abort.abort();
    assertEquals(
      how === "signal" ? (await stream.next()).done : (await stream.return(undefined)).done,
      true,
    );
    assertEquals(worker.sent.at(-1), { type: "cancel", id: 1, taken: 1 });
  }
});

Deno.test("RemoteEngine keeps nothing of a stream that has ended, whether its reader comes back or not", async () => {
  // A stream that was aborted once stayed in the map until its reader asked for more, which it may never do.
  const { engine, workers } = open();
  const worker = workers[0]!;
  worker.say({ type: "ready", info });
  const aborts = [1, 2, 3].map(() => new AbortController());
  const streams = aborts.map(({ signal }) => engine.generate(request(1), signal));
  const firsts = streams.map((stream) => stream.next());
  for (const id of [1, 2, 3]) worker.say({ type: "event", id, event: token(5) });
  for (const first of firsts) assertEquals((await first).value, token(5));
  assertEquals(engine.openStreams, 3);
  aborts[0]!.abort();
  assertEquals(engine.openStreams, 2);
  worker.say({ type: "event", id: 2, event: done });
  assertEquals(engine.openStreams, 1);
  worker.say({ type: "fail", id: 3, code: "shutdown", message: "too late" });
  assertEquals(engine.openStreams, 0);
  assertEquals((await streams[1]!.next()).value, done);
  await assertRejects(() => streams[2]!.next(), EngineError, "too late");
});

Deno.test("RemoteEngine tells what was taken of a watched generation, and of no other", async () => {
  for (const watched of [true, false]) {
    const { engine, workers } = open();
    const worker = workers[0]!;
    worker.say({ type: "ready", info });
    const stream = engine.generate(request(1, { watched }));
    const first = stream.next();
    for (const id of [5, 6, 7]) worker.say({ type: "event", id: 1, event: token(id) });
    await first;
    for (const _ of [6, 7]) await stream.next();
    const next = stream.next();
    worker.say({ type: "event", id: 1, event: done });
    await next;
    const taken = worker.sent.filter(({ type }) => type === "taken");
    // Only when everything was read: what is not the newest need not be told.
    assertEquals(taken, watched ? [{ type: "taken", id: 1, taken: 3 }] : []);
  }
});

Deno.test("RemoteEngine ends streams with an error when the device is lost, and opens a new worker", async () => {
  const { engine, workers } = open();
  workers[0]!.say({ type: "ready", info });
  const next = engine.generate(request(1)).next();
  workers[0]!.say({ type: "lost", message: "the device is gone" });
  const error = await assertRejects(() => next, EngineError, "the device is gone");
  assertEquals(error.code, "device_lost");
  assertEquals([workers.length, workers[0]!.terminated, engine.status().state], [
    2,
    true,
    "loading",
  ]);
  workers[1]!.say({ type: "ready", info });
  assertEquals(engine.status().state, "ready");
});

Deno.test("RemoteEngine does not listen to a worker that it has given up", async () => {
  const { engine, workers } = open();
  workers[0]!.say({ type: "ready", info });
  workers[0]!.say({ type: "lost", message: "gone" });
  workers[1]!.say({ type: "ready", info });
  workers[0]!.say({ type: "lost", message: "gone, once more" });
  assertEquals([workers.length, engine.status().state], [2, "ready"]);
  const counters = engine.counters();
  const { id } = workers[1]!.sent.find((message) => message.type === "counters")!;
  const load = { running: 1, waiting: 2, kvUsage: 0.5 };
  workers[1]!.say({ type: "counters", id, counters: { ...load, values: { steps: 3 } } });
  assertEquals(await counters, { ...load, values: { steps: 3, deviceLosses: 1 } });
});

Deno.test("RemoteEngine counts nothing while the device is lost", async () => {
  const { engine, workers } = open();
  workers[0]!.say({ type: "ready", info });
  const counters = engine.counters();
  workers[0]!.say({ type: "lost", message: "gone" });
  assertEquals((await counters).values, {});
});

Deno.test("RemoteEngine gives up after three restarts in a row", async () => {
  const { engine, workers } = open();
  for (let i = 0; i < 4; i++) workers[i]!.say({ type: "lost", message: "gone" });
  assertEquals([workers.length, engine.status().state], [4, "failed"]);
  assertEquals((await engine.broken).exitCode, 1);
  await assertRejects(() => engine.ready, EngineBroken, "gone");
});
