import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { assertSpyCalls, stub } from "@std/testing/mock";
import { EngineError, type EngineErrorCode } from "../../runtime/mod.ts";
import { chat, harness } from "./harness.ts";
import { ids } from "./mock_text.ts";

const CHAT = "/v1/chat/completions";

/** Chat fields that are refused, and the field that the refusal names. */
const REFUSED: readonly (readonly [Record<string, unknown>, string])[] = [
  [{ n: 2 }, "n"],
  [{ n: 0 }, "n"],
  [{ response_format: { type: "json_object" } }, "response_format"],
  [{ response_format: { type: "json_schema", json_schema: {} } }, "response_format"],
  [{ tool_choice: "required" }, "tool_choice"],
  [{ tool_choice: { type: "function", function: { name: "add" } } }, "tool_choice"],
  [{ functions: [{ name: "add" }] }, "functions"],
  [{ modalities: ["text", "audio"] }, "modalities"],
  [{ chat_template: "{{ messages }}" }, "chat_template"],
  [{ continue_final_message: true }, "continue_final_message"],
  [{ min_tokens: 3 }, "min_tokens"],
  [{ guided_regex: "a+" }, "guided_regex"],
  [{ temperature: -1 }, "temperature"],
  [{ temperature: "hot" }, "temperature"],
  [{ top_p: 1.5 }, "top_p"],
  [{ max_tokens: 0 }, "max_tokens"],
  [{ max_completion_tokens: 2.5 }, "max_completion_tokens"],
  [{ top_logprobs: 21, logprobs: true }, "top_logprobs"],
  [{ top_logprobs: 2 }, "top_logprobs"],
  [{ stop: Array(17).fill("x") }, "stop"],
  [{ logit_bias: { "300": 1 } }, "logit_bias"],
  [{ logit_bias: { a: 1 } }, "logit_bias.a"],
  [
    { logit_bias: Object.fromEntries(Array.from({ length: 1025 }, (_, i) => [i, 1])) },
    "logit_bias",
  ],
  [{ chat_template_kwargs: { enable_thinking: "no" } }, "chat_template_kwargs.enable_thinking"],
  [{ messages: [] }, "messages"],
  [{ messages: undefined }, "messages"],
  [{ messages: [{ role: "robot", content: "x" }] }, "messages[0].role"],
  [{ messages: [{ role: "user" }] }, "messages[0].content"],
  [{ messages: [{ role: "system", content: "no user" }] }, "messages"],
  [{ messages: Array(4097).fill({ role: "user", content: "x" }) }, "messages"],
  [{ tools: [{ type: "web_search" }] }, "tools[0].type"],
  [{ tools: [{ type: "function", function: { name: "a b" } }] }, "tools[0].function.name"],
  [{ tools: Array(257).fill({ type: "function", function: { name: "a" } }) }, "tools"],
  [
    {
      messages: [{
        role: "user",
        content: [{ type: "text", text: "what is this" }, {
          type: "image_url",
          image_url: { url: "data:image/png;base64,AA==" },
        }],
      }],
    },
    "messages[0].content[1].type",
  ],
  [
    {
      tools: [{
        type: "function",
        function: {
          name: "deep",
          parameters: JSON.parse('{"a":'.repeat(80) + "1" + "}".repeat(80)),
        },
      }],
    },
    "tools[0]",
  ],
];

describe("a request that cannot be honoured", () => {
  for (const [extra, param] of REFUSED) {
    const shown = JSON.stringify(extra)?.slice(0, 60);
    it(`is refused naming ${param}: ${shown}`, async () => {
      const { engine, post } = harness();
      const response = await post(CHAT, chat(extra));
      const { error } = await response.json();
      assertEquals([response.status, error.param], [400, param]);
      assertEquals(error.type, "invalid_request_error");
      assertStringIncludes(error.message, param.split(/[.[]/)[0]!);
      assertEquals(engine.requests.length, 0);
    });
  }

  it("is refused for fields of completions too", async () => {
    const { post } = harness();
    for (
      const [extra, param] of [
        [{ prompt: "x", suffix: "y" }, "suffix"],
        [{ prompt: "x", best_of: 2 }, "best_of"],
        [{ prompt: "x", logprobs: 21 }, "logprobs"],
        [{ prompt: "x", max_tokens: -2 }, "max_tokens"],
        [{ prompt: "" }, "prompt"],
        [{ prompt: [] }, "prompt"],
        [{ prompt: [[1], []] }, "prompt[1]"],
        [{ prompt: [300] }, "prompt"],
        [{}, "prompt"],
      ] as const
    ) {
      const response = await post("/v1/completions", extra);
      const { error } = await response.json();
      assertEquals([response.status, error.param?.slice(0, param.length)], [400, param]);
      assert(!error.message.endsWith("Invalid input"), `${error.message} helps nobody`);
    }
  });

  it("is not refused for what asks for nothing, or is not known", async () => {
    const { engine, post } = harness();
    engine.script = { tokens: ids("a") };
    const response = await post(
      CHAT,
      chat({
        n: 1,
        response_format: { type: "text" },
        tool_choice: "auto",
        functions: [],
        modalities: ["text"],
        temperature: null,
        max_tokens: null,
        stop: null,
        model: "gpt-5.4",
        user: "me",
        store: true,
        metadata: {},
        parallel_tool_calls: true,
        made_up_field: { at: "all" },
      }),
    );
    assertEquals(response.status, 200);
    await response.body?.cancel();
  });

  it("is told both context phrases and both counts when the prompt is too long", async () => {
    const { engine, post } = harness();
    const content = "x".repeat(600);
    for (const stream of [false, true]) {
      const response = await post(
        CHAT,
        chat({ messages: [{ role: "user", content }], stream }),
      );
      assertEquals(response.status, 400);
      const { error } = await response.json();
      assertEquals(error.code, "context_length_exceeded");
      assertStringIncludes(error.message, "maximum context length is 512 tokens");
      assertStringIncludes(error.message, "exceeds the available context size");
      assertEquals([error.n_prompt_tokens, error.n_ctx], [
        ids(`user:${content}\n<think>`).length,
        512,
      ]);
    }
    engine.script = { refuse: new EngineError("context_length", "too long") };
    const { error } = await (await post(CHAT, chat())).json();
    assertEquals(error.code, "context_length_exceeded");
    assertStringIncludes(error.message, "exceeds the available context size");
    assertEquals(error.n_ctx, 512);
  });

  it("is a prompt that leaves no room for a token, unless none is wanted", async () => {
    const { engine, post } = harness();
    engine.script = { tokens: ids("abc") };
    const body = (length: number, extra = {}) => ({ prompt: "x".repeat(length), ...extra });
    assertEquals((await post("/v1/completions", body(511))).status, 200);
    assertEquals(engine.requests.at(-1)?.maxTokens, 1);
    assertEquals((await post("/v1/completions", body(512))).status, 400);
    const scored = { max_tokens: 0, echo: true, logprobs: 0 };
    assertEquals((await post("/v1/completions", body(512, scored))).status, 200);
    const { error } = await (await post("/v1/completions", body(513, scored))).json();
    assertEquals([error.code, error.param], ["context_length_exceeded", "prompt"]);
  });

  it("is told that a model without template cannot chat", async () => {
    const { text, post } = harness();
    text.hasTemplate = false;
    const response = await post(CHAT, chat());
    assertEquals(response.status, 400);
    assertStringIncludes((await response.json()).error.message, "no chat template");
  });
});

describe("an engine error", () => {
  const statuses: Record<EngineErrorCode, number> = {
    overloaded: 429,
    not_ready: 503,
    shutdown: 503,
    device_lost: 503,
    context_length: 400,
    weights: 500,
    internal: 500,
  };
  for (const [code, status] of Object.entries(statuses)) {
    it(`${code} before the first token is ${status}, streamed or not`, async () => {
      const { engine, post } = harness();
      using log = stub(console, "error");
      engine.script = { refuse: new EngineError(code as EngineErrorCode, "Cannot go on") };
      for (const stream of [false, true]) {
        const response = await post(CHAT, chat({ stream }));
        assertEquals(response.status, status);
        const { error } = await response.json();
        const retry = status === 429 || status === 503;
        assertEquals(response.headers.has("retry-after"), retry);
        assertEquals(response.headers.has("retry-after-ms"), retry);
        if (status === 500) {
          assertStringIncludes(error.message, response.headers.get("x-request-id")!);
        }
      }
      assertSpyCalls(log, status === 500 ? 2 : 0);
    });
  }

  it("that nobody foresaw is a 500 that tells the request id and nothing else", async () => {
    const { engine, post } = harness();
    using log = stub(console, "error");
    engine.script = { refuse: new TypeError("secret") as never };
    const response = await post(CHAT, chat(), { headers: { "x-request-id": "abc-1" } });
    const text = await response.text();
    assertEquals(response.status, 500);
    assertStringIncludes(text, "abc-1");
    assertEquals(text.includes("secret"), false);
    assertSpyCalls(log, 1);
    assertStringIncludes(String(log.calls[0]?.args[0]), "secret");
  });
});

describe("the frame around requests", () => {
  it("refuses what is not JSON", async () => {
    const { post } = harness();
    for (
      const [body, type, status] of [
        ["{", "application/json", 400],
        ["[1]", "application/json", 400],
        ["null", "application/json", 400],
        ["a=b", "application/x-www-form-urlencoded", 415],
        ["{}", "text/plain", 415],
      ] as const
    ) {
      const response = await post(CHAT, body, { headers: { "content-type": type } });
      const { error } = await response.json();
      assertEquals([response.status, error.type], [status, "invalid_request_error"]);
    }
  });

  it("refuses a body beyond the limit, with or without its length given", async () => {
    const { app, post } = harness({ maxBodyBytes: 1000 });
    const long = JSON.stringify(chat({ user: "x".repeat(1000) }));
    assertEquals((await post(CHAT, long)).status, 413);
    const response = await app.request(CHAT, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: ReadableStream.from([new TextEncoder().encode(long)]),
    });
    assertEquals(response.status, 413);
    assertEquals((await response.json()).error.type, "invalid_request_error");
    const exact = JSON.stringify(chat({ user: "" }));
    const fits = JSON.stringify(chat({ user: "x".repeat(1000 - exact.length) }));
    assertEquals([fits.length, (await post(CHAT, fits)).status], [1000, 200]);
  });

  it("says 404 for unknown paths and 405 for wrong methods", async () => {
    const { app, post } = harness();
    const unknown = await post("/v2/chat", {});
    assertEquals(unknown.status, 404);
    assertEquals((await unknown.json()).error.code, "unknown_url");
    const wrong = await app.request(CHAT);
    assertEquals([wrong.status, wrong.headers.get("allow")], [405, "POST"]);
    assertEquals((await wrong.json()).error.code, "method_not_allowed");
    assertEquals((await post("/v1/models/a/b", {})).status, 405);
  });

  it("gives every answer an id, the caller's own if it sent one", async () => {
    const { app } = harness();
    assertMatch((await app.request("/nowhere")).headers.get("x-request-id") ?? "", /^[\w-]{8,}$/);
    const named = await app.request("/health", { headers: { "x-request-id": "mine" } });
    assertEquals(named.headers.get("x-request-id"), "mine");
  });

  it("answers browsers of other origins only when asked to", async () => {
    const headers = { origin: "https://a.example" };
    const closed = await harness().app.request("/health", { headers });
    assertEquals(closed.headers.get("access-control-allow-origin"), null);
    const { app } = harness({ corsOrigins: ["https://a.example"], apiKeys: ["k"] });
    const open = await app.request("/health", { headers });
    assertEquals(open.headers.get("access-control-allow-origin"), "https://a.example");
    const preflight = await app.request(CHAT, {
      method: "OPTIONS",
      headers: { ...headers, "access-control-request-method": "POST" },
    });
    assertEquals(preflight.status, 204);
  });
});
