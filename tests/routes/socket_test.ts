import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { TextLineStream } from "@std/streams";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { assertSpyCalls, stub } from "@std/testing/mock";
import { ListenError } from "../../routes/listener.ts";
import { type RunningServer, serve } from "../../routes/server.ts";
import { chat, harness, type Json, readEvents } from "./harness.ts";
import { ID, ids } from "./mock_text.ts";

const ANSWER = [...ids("</think>abc"), ID.imEnd];

/** Waits until `holds` does, for at most 5 s. */
async function until(holds: () => boolean, what: string): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`Waited in vain until ${what}`);
}

describe("a server with an open socket", () => {
  let mocks: ReturnType<typeof harness>;
  let server: RunningServer;
  let client: Deno.HttpClient;

  const listen = async (options = {}, drainSeconds = 5) => {
    mocks = harness({ keepAliveMs: 50, ...options }, { contextLength: 10_000_000 });
    const { app, engine } = mocks;
    server = await serve(app, { host: "127.0.0.1", port: 0, drainSeconds, engine });
  };
  const ask = (body: Json, signal?: AbortSignal) =>
    fetch(`http://127.0.0.1:${server.port}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(chat(body)),
      client,
      ...(signal ? { signal } : {}),
    });

  beforeEach(() => {
    client = Deno.createHttpClient({});
  });
  afterEach(async () => {
    await server.stop();
    await server.finished;
    client.close();
  });

  it("answers whole and streamed, comments in between", async () => {
    await listen();
    mocks.engine.script = { tokens: ANSWER, tokenMs: 120 };
    const body = await (await ask({})).json();
    assertEquals(body.choices[0].message.content, "abc");
    const response = await ask({ stream: true });
    assertEquals(response.headers.get("content-type"), "text/event-stream");
    const events = await readEvents(response);
    assert(events.filter((event) => event === ": ping").length >= 4);
    assertEquals(events.at(-1), "data: [DONE]");
  });

  for (const stream of [false, true]) {
    for (
      const [phase, script] of Object.entries({
        prefill: { tokens: ANSWER, prefillMs: 60_000 },
        decode: { tokens: ANSWER, tokenMs: 60_000 },
      })
    ) {
      it(`frees the slot when the client leaves in ${phase}, ${stream ? "streamed" : "whole"}`, async () => {
        await listen();
        mocks.engine.script = script;
        const leave = new AbortController();
        const answer = ask({ stream }, leave.signal).then((response) => response.text());
        await until(() => mocks.engine.active === 1, "the engine works");
        await new Promise((resolve) => setTimeout(resolve, 20));
        leave.abort();
        await assertRejects(() => answer);
        await until(() => mocks.engine.active === 0, "the slot is free");
        assertEquals(mocks.engine.aborts, [phase]);
      });
    }
  }

  it("frees the slot when a client leaves whose request came in several packets", async () => {
    await listen();
    mocks.engine.script = { tokens: ANSWER, prefillMs: 60_000 };
    const body = JSON.stringify(chat({ user: "x".repeat(5000) }));
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
    const write = (text: string) => connection.write(new TextEncoder().encode(text));
    await write(
      "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" +
        `content-length: ${body.length}\r\n\r\n`,
    );
    await new Promise((resolve) => setTimeout(resolve, 30));
    await write(body);
    await until(() => mocks.engine.active === 1, "the engine works");
    connection.close();
    await until(() => mocks.engine.active === 0, "the slot is free");
  });

  /** A client that asks for `total` tokens and reads none; resolves when no more are made. */
  async function deafClient(total: number): Promise<{ connection: Deno.Conn; made: number }> {
    let made = 0;
    mocks.engine.script = {
      tokens: (function* () {
        for (; made < total; made++) yield 97;
      })(),
    };
    const body = JSON.stringify(chat({ stream: true, max_tokens: total }));
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
    await connection.write(new TextEncoder().encode(
      "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" +
        `content-length: ${body.length}\r\n\r\n${body}`,
    ));
    await until(() => made > 0, "the engine works");
    for (let before = -1; made !== before;) {
      before = made;
      await new Promise((resolve) => setTimeout(resolve, 150));
    }
    return { connection, made };
  }

  it("holds little for a client that never reads, and lets go when it leaves", async () => {
    await listen();
    const total = 400_000; // some 100 MB of chunks
    const { connection, made } = await deafClient(total);
    assert(made < total / 4, `${made} of ${total} tokens were made for nobody`);
    assertEquals(mocks.engine.active, 1);
    connection.close();
    await until(() => mocks.engine.active === 0, "the slot is free");
  });

  it("ends in spite of a client that never reads", async () => {
    await listen({}, 0);
    const { connection } = await deafClient(400_000);
    await server.stop();
    await server.finished;
    connection.close();
    await until(() => mocks.engine.active === 0, "the slot is free");
  });

  it("answers on a connection that is kept, and refuses what is not HTTP", async () => {
    await listen();
    mocks.engine.script = { tokens: ANSWER };
    const body = JSON.stringify(chat({ user: "x".repeat(2000) }));
    const request = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" +
      `content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    const exchange = async (...texts: string[]) => {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
      await connection.write(new TextEncoder().encode(texts.join("")));
      return await new Response(connection.readable).text();
    };
    const last = "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    const both = await exchange(request, last);
    assertEquals(both.match(/HTTP\/1\.1 200 OK/g)?.length, 2);
    assertStringIncludes(await exchange("nonsense\r\n\r\n"), "HTTP/1.1 400 ");
    assertStringIncludes(await exchange(last.replace("/livez", "//")), "HTTP/1.1 400 ");
  });

  for (const chunked of [false, true]) {
    it(`refuses a body that is too long to a client that reads when all is sent, ${chunked ? "in chunks" : "of a known length"}`, async () => {
      // Once the connection was closed on it, or kept and never answered again.
      await listen();
      const megabyte = "x".repeat(2 ** 20);
      const body = chunked
        ? `100000\r\n${megabyte}\r\n`.repeat(20) + "0\r\n\r\n"
        : megabyte.repeat(20);
      const length = chunked ? "transfer-encoding: chunked" : `content-length: ${body.length}`;
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
      const texts = [
        `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n${length}\r\n\r\n`,
        body,
        "GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
      ];
      const writer = connection.writable.getWriter();
      for (const text of texts) await writer.write(new TextEncoder().encode(text));
      const answers = await new Response(connection.readable).text();
      assertEquals(answers.match(/HTTP\/1\.1 \d+/g), ["HTTP/1.1 413", "HTTP/1.1 200"]);
      assert(/content-length: \d+\r\n/i.test(answers));
    });
  }

  it("makes no fuss of a client that leaves within its request", async () => {
    await listen();
    using log = stub(console, "error");
    for (let round = 0; round < 5; round++) {
      const connection = await Deno.connect({ hostname: "127.0.0.1", port: server.port });
      await connection.write(new TextEncoder().encode(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n" +
          `content-length: 5000\r\n\r\n{"messages":`,
      ));
      await new Promise((resolve) => setTimeout(resolve, 20));
      connection.close();
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
    assertSpyCalls(log, 0);
    assertEquals(mocks.engine.requests.length, 0);
  });

  it("listens on a name, and takes an address in brackets", async () => {
    await listen();
    const { app, engine } = mocks;
    for (const host of ["localhost", "[127.0.0.1]"]) {
      const other = await serve(app, { host, port: 0, drainSeconds: 0, engine });
      assertEquals(other.host, "127.0.0.1");
      await other.stop();
    }
  });

  it("says that an address is in use", async () => {
    await listen();
    const { app, engine } = mocks;
    const { host, port } = server;
    await assertRejects(
      () => serve(app, { host, port, drainSeconds: 0, engine }),
      ListenError,
      `Cannot listen on 127.0.0.1 port ${port}`,
    );
  });

  it("lets answers finish when it stops, and takes no new ones", async () => {
    await listen();
    mocks.engine.script = { tokens: ANSWER, tokenMs: 60 };
    const streamed = ask({ stream: true }).then(readEvents);
    await until(() => mocks.engine.active === 1, "the engine works");
    const stopped = server.stop();
    const refused = await ask({});
    assertEquals([refused.status, refused.headers.has("retry-after")], [503, true]);
    assertEquals((await refused.json()).error.code, "shutdown");
    const events = await streamed;
    assertEquals(events.at(-2).choices[0].finish_reason, "stop");
    await stopped;
    await server.finished;
    await assertRejects(() => ask({}));
  });

  it("cuts answers with an error when they take too long to finish", async () => {
    await listen({}, 0.1);
    mocks.engine.script = { tokens: ids("</think>" + "x".repeat(400)), tokenMs: 50 };
    const streamed = ask({ stream: true }).then(readEvents);
    const whole = ask({});
    await until(() => mocks.engine.active === 2, "the engine works");
    await server.stop();
    const events = await streamed;
    assertEquals(events.at(-2).error.code, "shutdown");
    assertEquals(events.at(-1), "data: [DONE]");
    assertEquals((await whole).status, 503);
    await (await whole).body?.cancel();
  });
});

Deno.test("SIGTERM drains the process and ends it with 0", async () => {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "-A", "--no-prompt", new URL("./serve_process.ts", import.meta.url).pathname],
    stdout: "piped",
  }).spawn();
  const lines = child.stdout
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new TextLineStream())
    .getReader();
  const port = (await lines.read()).value;
  const response = await fetch(`http://127.0.0.1:${port}/v1/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(chat({ stream: true })),
  });
  child.kill("SIGTERM");
  const text = await response.text();
  assertStringIncludes(text, '"code":"shutdown"');
  assert(text.endsWith("data: [DONE]\n\n"));
  assertEquals((await child.status).code, 0);
  await lines.cancel();
});
