/** What clients send that is a little off: taken where its meaning is plain, refused with a hint where it is not. */
import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { chat, harness } from "./harness.ts";
import { ID, ids } from "./mock_text.ts";

const CHAT = "/v1/chat/completions";
const ANSWER = [...ids("</think>abc"), ID.imEnd];

function answering() {
  const mocks = harness();
  mocks.engine.script = { tokens: ANSWER };
  return mocks;
}

describe("a client that writes out all fields", () => {
  it("may say null for those that it does not use", async () => {
    const { text, post } = answering();
    const call = { id: null, type: null, function: { name: "f", arguments: null } };
    const tool = {
      type: "function",
      function: { strict: null, name: "f", description: null, parameters: null },
    };
    const response = await post(
      CHAT,
      chat({
        messages: [
          { role: "user", content: "x", name: null, tool_call_id: null, tool_calls: null },
          { role: "assistant", content: null, reasoning: null, tool_calls: [call] },
          { role: "tool", content: "1", tool_call_id: "call_1", name: "f" },
        ],
        tools: [tool],
        ...Object.fromEntries(
          ["model", "max_tokens", "n", "stop", "seed", "logit_bias", "stream_options", "user"]
            .map((field) => [field, null]),
        ),
      }),
    );
    assertEquals(response.status, 200);
    const [{ messages, options }] = text.rendered as [typeof text.rendered[0]];
    const { name, tool_call_id } = messages[0]!;
    assertEquals([name, tool_call_id], [undefined, undefined]);
    assertEquals(messages[1]!.tool_calls, [{
      id: undefined,
      function: { name: "f", arguments: null },
    }]);
    assertEquals([messages[2]!.tool_call_id, messages[2]!.name], ["call_1", "f"]);
    assertEquals(options.tools, [{ type: "function", function: { name: "f" } }]);
  });
});

describe("a limit of -1", () => {
  it("leaves it to the context", async () => {
    const { engine, post } = answering();
    for (const field of ["max_tokens", "max_completion_tokens"]) {
      assertEquals((await post(CHAT, chat({ [field]: -1 }))).status, 200);
      const { tokens, maxTokens } = engine.requests.at(-1)!;
      assertEquals(maxTokens, 512 - tokens.length);
      for (const wrong of [0, -2]) {
        assertEquals((await post(CHAT, chat({ [field]: wrong }))).status, 400);
      }
    }
    assertEquals((await post("/v1/completions", { prompt: "abc", max_tokens: -1 })).status, 200);
    assertEquals(engine.requests.at(-1)!.maxTokens, 512 - 3);
  });
});

describe("a seed", () => {
  it("may be any whole number of 64 bits", async () => {
    const { engine, post } = answering();
    for (const [seed, used] of [["9223372036854775807", 0], ["4294967297", 1]] as const) {
      const body = `{"messages":[{"role":"user","content":"x"}],"seed":${seed}}`;
      assertEquals((await post(CHAT, body)).status, 200);
      assertEquals(engine.requests.at(-1)!.sampling.seed, used);
    }
    assertEquals((await post(CHAT, chat({ seed: 1.5 }))).status, 400);
  });
});

describe("thinking", () => {
  it("is turned off by enable_thinking in either place, the nearer one first", async () => {
    const { text, post } = answering();
    const off = { enable_thinking: false };
    for (
      const [body, thinks] of [
        [off, false],
        [{ chat_template_kwargs: off }, false],
        [{ enable_thinking: true, chat_template_kwargs: off }, false],
        [{ enable_thinking: false, chat_template_kwargs: { enable_thinking: true } }, true],
        [{ enable_thinking: null }, undefined],
      ] as const
    ) {
      await (await post(CHAT, chat(body))).body?.cancel();
      assertEquals(text.rendered.at(-1)!.options.enableThinking, thinks);
    }
  });
});

describe("a path that is a little off", () => {
  it("is told with the one that was meant", async () => {
    const { app, post } = answering();
    for (const path of ["/chat/completions", "/v1/v1/chat/completions", `${CHAT}/`]) {
      const { error } = await (await post(path, chat())).json();
      assertStringIncludes(error.message, `did you mean ${CHAT}?`);
    }
    for (
      const [path, meant] of [
        ["/models", "/v1/models"],
        ["/v1/models/", "/v1/models"],
        ["/v1/health", "/health"],
        ["/v1/tokenize", "/tokenize"],
      ] as const
    ) {
      const response = await app.request(path);
      assertEquals(response.status, 404);
      assertStringIncludes((await response.json()).error.message, `did you mean ${meant}?`);
    }
    for (const path of ["/", "/v1", "/v1/embeddings", "/nowhere"]) {
      const { error } = await (await app.request(path)).json();
      assert(error.message.endsWith("there is no such path"), error.message);
    }
  });
});

describe("a body of another type", () => {
  it("is told which header to send", async () => {
    const { app } = answering();
    const response = await app.request(CHAT, { method: "POST", body: JSON.stringify(chat()) });
    assertEquals(response.status, 415);
    assertStringIncludes((await response.json()).error.message, "content-type: application/json");
  });
});

describe("a body that is damaged", () => {
  // Bytes that are no UTF-8 were once read as replacement characters, and answered.
  it("is told so", async () => {
    const { app } = answering();
    const ask = async (body: BodyInit) => {
      const headers = { "content-type": "application/json" };
      const response = await app.request(CHAT, { method: "POST", headers, body });
      return [response.status, (await response.json()).error?.message];
    };
    const bytes = new TextEncoder().encode(JSON.stringify(chat({ user: "é" })));
    assertEquals((await ask(bytes))[0], 200);
    bytes[bytes.indexOf(0xc3)] = 0xff;
    assertEquals(await ask(bytes), [400, "Cannot read the body: it is not UTF-8"]);
    assertEquals(await ask("{"), [400, "Cannot read the body: it is not JSON"]);
  });
});
