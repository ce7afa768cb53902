import { assert, assertEquals } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { FakeTime } from "@std/testing/time";
import { chat, harness, readEvents } from "./harness.ts";
import { ID, ids } from "./mock_text.ts";

const CHAT = "/v1/chat/completions";
const ANSWER = [...ids("</think>abc"), ID.imEnd];

/** Lets everything that can go on go on. */
async function settle(): Promise<void> {
  for (let round = 0; round < 5; round++) await new Promise((resolve) => setTimeout(resolve, 0));
}

describe("a client that goes away", () => {
  for (
    const [phase, script] of Object.entries({
      prefill: { tokens: ANSWER, prefillMs: 60_000 },
      decode: { tokens: ANSWER, tokenMs: 60_000 },
    })
  ) {
    for (const stream of [false, true]) {
      it(`in ${phase} aborts the engine at once, ${stream ? "streamed" : "whole"}`, async () => {
        const { engine, post } = harness();
        engine.script = script;
        const gone = new AbortController();
        const response = post(CHAT, chat({ stream }), { signal: gone.signal });
        await settle();
        assertEquals(engine.active, 1);
        gone.abort();
        await settle();
        assertEquals(engine.active, 0);
        assertEquals(engine.aborts, [phase]);
        const settled = await response.catch(() => null);
        await settled?.body?.cancel();
      });
    }
  }

  it("while its prompt is encoded has it given up, and gives its place back", async () => {
    const { engine, text, post, app } = harness({ maxQueue: 1 });
    text.encodeMs = 60_000;
    const gone = new AbortController();
    const response = post(CHAT, chat({ stream: true }), { signal: gone.signal });
    await settle();
    assertEquals((await app.request("/readyz")).status, 503);
    assertEquals((await post(CHAT, chat())).status, 429);
    gone.abort();
    assertEquals((await response).status, 499);
    assertEquals((await app.request("/readyz")).status, 200);
    assertEquals([text.rendered.length, engine.requests.length], [0, 0]);
  });

  it("by cancelling the body aborts the engine and gives its place back", async () => {
    const { engine, post, app } = harness({ maxQueue: 1 });
    engine.script = { tokens: ids("abc"), tokenMs: 60_000 };
    const response = await post(CHAT, chat({ stream: true }));
    await response.body!.cancel();
    await settle();
    assertEquals(engine.active, 0);
    assertEquals((await app.request("/readyz")).status, 200);
    const text = await (await app.request("/metrics")).text();
    assert(/requests_aborted_total\{[^}]*phase="decode"[^}]*\} 1/.test(text));
  });

  it("leaves nothing behind, a hundred times", async () => {
    const { engine, post } = harness({ maxQueue: 2 });
    engine.script = { tokens: ids("abc"), tokenMs: 60_000 };
    for (let round = 0; round < 100; round++) {
      const response = await post(CHAT, chat({ stream: true }));
      assertEquals(response.status, 200);
      await response.body!.cancel();
    }
    await settle();
    engine.script = { tokens: ANSWER };
    assertEquals((await (await post(CHAT, chat())).json()).choices[0].message.content, "abc");
  });
});

describe("the bounded queue", () => {
  it("answers 429 with Retry-After when it is full, and takes more when it is not", async () => {
    const { engine, app, post } = harness({ maxQueue: 2 });
    engine.script = { tokens: ANSWER, tokenMs: 5 };
    const first = post(CHAT, chat());
    const second = post(CHAT, chat({ stream: true }));
    await settle();
    assertEquals((await app.request("/readyz")).status, 503);
    for (const stream of [false, true]) {
      const third = await post(CHAT, chat({ stream }));
      assertEquals(third.status, 429);
      assert(Number(third.headers.get("retry-after")) >= 1);
      assert(Number(third.headers.get("retry-after-ms")) >= 1000);
      assertEquals((await third.json()).error.code, "overloaded");
    }
    const metrics = await (await app.request("/metrics")).text();
    assert(/requests_rejected_total\{[^}]*reason="overloaded"[^}]*\} 2\n/.test(metrics));
    assertEquals((await first).status, 200);
    assertEquals((await readEvents(await second)).at(-1), "data: [DONE]");
    assertEquals((await post(CHAT, chat())).status, 200);
  });

  it("is not kept by requests that fail", async () => {
    const { post } = harness({ maxQueue: 1 });
    for (let round = 0; round < 5; round++) {
      assertEquals((await post(CHAT, chat({ n: 2 }))).status, 400);
      const content = "x".repeat(600);
      const long = await post(CHAT, chat({ messages: [{ role: "user", content }] }));
      assertEquals(long.status, 400);
    }
    assertEquals((await post(CHAT, chat())).status, 200);
  });
});

describe("a long silence", () => {
  it("is filled with comments while the prompt is computed", async () => {
    using time = new FakeTime();
    const { engine, post } = harness();
    engine.script = { tokens: ANSWER, prefillMs: 60_000 };
    const pending = post(CHAT, chat({ stream: true }));
    await time.tickAsync(1000);
    const response = await pending;
    assertEquals(response.status, 200);
    const events = readEvents(response);
    for (let second = 0; second < 62; second++) await time.tickAsync(1000);
    const seen = await events;
    assertEquals(seen.filter((event) => event === ": ping").length, 11);
    assertEquals(seen[0].choices[0].delta.role, "assistant");
    assertEquals(seen.at(-2).choices[0].finish_reason, "stop");
  });

  it("does not outlast the longest time an answer may take", async () => {
    using time = new FakeTime();
    const { engine, post } = harness({ maxAnswerMs: 30_000 });
    engine.script = { tokens: ANSWER, prefillMs: 60_000 };
    const whole = post(CHAT, chat());
    const streamed = post(CHAT, chat({ stream: true })).then(readEvents);
    for (let second = 0; second < 31; second++) await time.tickAsync(1000);
    assertEquals((await whole).status, 504);
    assertEquals((await streamed).at(-2).error.code, "timeout");
    assertEquals(engine.active, 0);
  });
});

describe("a client that never reads", () => {
  it("loses its place when its time is over", async () => {
    using time = new FakeTime();
    const { engine, app, post } = harness({ maxQueue: 1, maxAnswerMs: 30_000 });
    engine.script = { tokens: ids("x".repeat(400)) };
    const deaf = await post(CHAT, chat({ stream: true }));
    await time.tickAsync(29_999);
    assertEquals((await app.request("/readyz")).status, 503);
    await time.tickAsync(1);
    assertEquals((await app.request("/readyz")).status, 200);
    const events = readEvents(deaf);
    await time.tickAsync(0);
    assertEquals((await events).at(-2).error.code, "timeout");
  });
});

describe("API keys", () => {
  const { engine, app, post } = harness({ apiKeys: ["alpha", "beta"] });
  engine.script = { tokens: ANSWER };

  it("are asked for everywhere but at the probes", async () => {
    for (const path of ["/v1/models", "/metrics", "/openapi.json", "/nowhere"]) {
      const response = await app.request(path);
      assertEquals(response.status, 401, path);
      assertEquals(response.headers.get("www-authenticate"), "Bearer");
      const { error } = await response.json();
      assertEquals([error.type, error.code], ["authentication_error", "invalid_api_key"]);
    }
    for (const path of ["/health", "/livez", "/readyz", "/ping"]) {
      assertEquals((await app.request(path)).status, 200, path);
    }
  });

  it("are taken as Bearer or X-Api-Key, whole and exact", async () => {
    for (
      const [headers, status] of [
        [{ authorization: "Bearer alpha" }, 200],
        [{ authorization: "bearer beta" }, 200],
        [{ "x-api-key": "beta" }, 200],
        [{ authorization: "Bearer alph" }, 401],
        [{ authorization: "Basic alpha" }, 401],
        [{ "x-api-key": "" }, 401],
        [{ "x-api-key": "alpha,beta" }, 401],
      ] as const
    ) {
      assertEquals((await app.request("/v1/models", { headers })).status, status);
    }
  });

  it("keep cached state apart, and salts within a key", async () => {
    for (const key of ["alpha", "beta"]) {
      for (const cache_salt of [undefined, "s"]) {
        await post(CHAT, chat({ cache_salt }), { headers: { "x-api-key": key } });
      }
    }
    const owners = engine.requests.map(({ owner }) => owner);
    assertEquals(new Set(owners).size, 4);
    assertEquals(owners.some((owner) => owner.includes("alpha")), false);
  });
});
