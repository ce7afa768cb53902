import { assertEquals, assertRejects } from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { assertSpyCalls, spy } from "@std/testing/mock";
import { FakeTime } from "@std/testing/time";
import { committed, event, eventStream } from "../../routes/sse.ts";

const OPTIONS = {
  keepAliveMs: 5000,
  describe: (error: unknown) => ({ error: String(error) }),
  onCancel: () => {},
};

async function* thenThrow(values: readonly unknown[], error: unknown): AsyncGenerator<unknown> {
  yield* values;
  await Promise.resolve();
  throw error;
}

/** A source whose values come when the test says so. */
function tap<T>() {
  let controller!: ReadableStreamDefaultController<T>;
  const values = new ReadableStream<T>({ start: (c) => void (controller = c) });
  return { values, push: (value: T) => controller.enqueue(value), end: () => controller.close() };
}

async function textOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  return await new Response(stream).text();
}

describe("eventStream()", () => {
  it("sends each value as an event, then [DONE]", async () => {
    const stream = eventStream(ReadableStream.from([{ a: "line\nbreak" }, 2]), OPTIONS);
    assertEquals(
      await textOf(stream),
      'data: {"a":"line\\nbreak"}\n\ndata: 2\n\ndata: [DONE]\n\n',
    );
  });

  it("sends an error as an event before [DONE], after all that came before it", async () => {
    const stream = eventStream(thenThrow([1, 2, 3], new Error("broken")), OPTIONS);
    assertEquals(
      await textOf(stream),
      [1, 2, 3, { error: "Error: broken" }].map(event).join("") + "data: [DONE]\n\n",
    );
  });

  it("reads no more than a few values ahead of its reader", async () => {
    let made = 0;
    async function* endless() {
      while (true) yield await Promise.resolve(made++);
    }
    const stream = eventStream(endless(), OPTIONS);
    const reader = stream.getReader();
    await reader.read();
    await new Promise((resolve) => setTimeout(resolve, 20));
    assertEquals(made < 12, true, `made ${made}`);
    await reader.cancel();
  });

  it("tells at once that its reader went away, and ends its source", async () => {
    const onCancel = spy();
    let ended = false;
    const { values, push } = tap<number>();
    async function* source() {
      try {
        for await (const value of values) yield value;
      } finally {
        ended = true;
      }
    }
    const reader = eventStream(source(), {
      ...OPTIONS,
      onCancel: () => {
        onCancel();
        push(0); // what an aborted engine does: it lets go
      },
    }).getReader();
    push(1);
    await reader.read();
    await reader.cancel();
    assertSpyCalls(onCancel, 1);
    await new Promise((resolve) => setTimeout(resolve, 0));
    assertEquals(ended, true);
  });
});

describe("keep-alive comments", () => {
  let time: FakeTime;
  beforeEach(() => {
    time = new FakeTime();
  });
  afterEach(() => time.restore());

  it("come every 5 s of silence, and only then", async () => {
    const { values, push, end } = tap<number>();
    const reader = eventStream(values, OPTIONS).pipeThrough(new TextDecoderStream()).getReader();
    const seen: string[] = [];
    const reading = (async () => {
      for (let next = await reader.read(); !next.done; next = await reader.read()) {
        seen.push(next.value);
      }
    })();
    await time.tickAsync(4999);
    assertEquals(seen, []);
    await time.tickAsync(1);
    assertEquals(seen, [": ping\n\n"]);
    push(1);
    await time.tickAsync(0);
    await time.tickAsync(4999);
    assertEquals(seen.slice(1), [event(1)]);
    await time.tickAsync(5001);
    assertEquals(seen.slice(2), [": ping\n\n", ": ping\n\n"]);
    end();
    await time.tickAsync(0);
    await reading;
    assertEquals(seen.at(-1), "data: [DONE]\n\n");
  });
});

describe("committed()", () => {
  it("throws what fails before the first value", async () => {
    await assertRejects(() => committed(thenThrow([], new Error("early")), 1000), Error, "early");
  });

  it("hands on every value, and what fails later", async () => {
    const values = await committed(thenThrow([1, 2], new Error("late")), 1000);
    const seen: unknown[] = [];
    await assertRejects(
      async () => {
        for await (const value of values) seen.push(value);
      },
      Error,
      "late",
    );
    assertEquals(seen, [1, 2]);
  });

  it("waits no longer than it is told to", async () => {
    using time = new FakeTime();
    const { values, push, end } = tap<number>();
    async function* source() {
      for await (const value of values) yield value;
    }
    const waiting = committed(source(), 1000);
    await time.tickAsync(1000);
    const resumed = await waiting;
    push(7);
    end();
    assertEquals(await Array.fromAsync(resumed), [7]);
  });
});
