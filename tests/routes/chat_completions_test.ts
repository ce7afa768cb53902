import { assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { assertSnapshot } from "@std/testing/snapshot";
import { EngineError } from "../../runtime/mod.ts";
import { chat, harness, type Json, readEvents } from "./harness.ts";
import { ID, ids } from "./mock_text.ts";

const ANSWER = [...ids("so</think>Hé!"), ID.imEnd];
const TOOLS = [{ type: "function", function: { name: "add", parameters: { type: "object" } } }];
const CALLS = ids(
  'hm</think>ok<tool_call>add{"a":1}</tool_call><tool_call>add{"a":2}</tool_call>',
).concat(ID.imEnd);

/** What a stream's deltas add up to, in the shape of a whole message. */
function folded(events: Json[]): Json {
  const message: Json = { role: "assistant", content: "", refusal: null };
  let logprobs: Json = null;
  let finishReason = null;
  for (const { choices: [choice] } of events.filter((event) => event.choices?.length === 1)) {
    const { content, reasoning_content, reasoning, tool_calls } = choice.delta;
    message.content += content ?? "";
    if (reasoning_content !== undefined) {
      message.reasoning_content = (message.reasoning_content ?? "") + reasoning_content;
      message.reasoning = (message.reasoning ?? "") + reasoning;
    }
    for (const { index, ...call } of tool_calls ?? []) {
      message.tool_calls ??= [];
      if (!message.tool_calls[index]) message.tool_calls[index] = call;
      else message.tool_calls[index].function.arguments += call.function.arguments;
    }
    if (choice.logprobs) {
      logprobs = {
        content: [...logprobs?.content ?? [], ...choice.logprobs.content],
        refusal: null,
      };
    }
    finishReason ??= choice.finish_reason;
  }
  if (message.tool_calls && message.content === "") message.content = null;
  return { index: 0, message, logprobs, finish_reason: finishReason };
}

describe("POST /v1/chat/completions", () => {
  it("answers whole, with thinking apart, usage and timings", async (t) => {
    const { engine, post } = harness();
    engine.script = { tokens: ANSWER, cached: 4 };
    const response = await post("/v1/chat/completions", chat());
    assertEquals(response.status, 200);
    assertMatch(response.headers.get("x-request-id") ?? "", /.+/);
    const body = await response.json();
    assertMatch(body.id, /^chatcmpl-/);
    assertEquals(Math.abs(body.created - Date.now() / 1000) < 5, true);
    await assertSnapshot(t, { ...body, id: "ID", created: 0 });
  });

  it("streams role, deltas, finish reason, usage, [DONE], in this order", async (t) => {
    const { engine, post } = harness();
    engine.script = { tokens: ANSWER };
    const response = await post(
      "/v1/chat/completions",
      chat({ stream: true, stream_options: { include_usage: true } }),
    );
    assertEquals(response.status, 200);
    assertEquals(response.headers.get("content-type"), "text/event-stream");
    assertEquals(response.headers.get("cache-control"), "no-cache");
    assertEquals(response.headers.get("x-accel-buffering"), "no");
    assertMatch(response.headers.get("x-request-id") ?? "", /.+/);
    const events = await readEvents(response);
    const chunks = events.slice(0, -1);
    assertEquals(new Set(chunks.map((chunk: Json) => chunk.id)).size, 1);
    const masked = chunks.map((chunk: Json) => ({ ...chunk, id: "ID", created: 0 }));
    await assertSnapshot(t, [...masked, events.at(-1)]);
  });

  it("puts timings on the last chunk when no usage is asked for", async () => {
    const { engine, post } = harness();
    engine.script = { tokens: ANSWER };
    const events = await readEvents(
      await post("/v1/chat/completions", chat({ stream: true })),
    );
    const last = events.at(-2);
    assertEquals(last.choices[0].finish_reason, "stop");
    assertEquals(last.timings.predicted_n, ANSWER.length);
    assertEquals(events.slice(0, -1).some((event: Json) => "usage" in event), false);
  });

  for (
    const [name, tokens, extra] of [
      ["thinking", ANSWER, {}],
      ["no thinking", [...ids("plain"), ID.imEnd], {
        chat_template_kwargs: { enable_thinking: false },
      }],
      ["tool calls", CALLS, { tools: TOOLS }],
      ["log-probabilities", ANSWER, { logprobs: true, top_logprobs: 2 }],
      ["a stop string", ids("</think>one STOP two"), { stop: ["STOP"] }],
      ["a cut call", ids("</think><tool_call>add{"), { tools: TOOLS }],
    ] as const
  ) {
    it(`streams what it answers whole: ${name}`, async () => {
      const { engine, post } = harness();
      engine.script = { tokens };
      const whole = await (await post("/v1/chat/completions", chat(extra))).json();
      const events = await readEvents(
        await post("/v1/chat/completions", chat({ ...extra, stream: true })),
      );
      assertEquals(folded(events), whole.choices[0]);
    });
  }

  it("reports tool calls as OpenAI does", async (t) => {
    const { engine, post } = harness();
    engine.script = { tokens: CALLS };
    const body = await (await post("/v1/chat/completions", chat({ tools: TOOLS }))).json();
    await assertSnapshot(t, body.choices[0]);
  });

  it("leaves calls in the text when no tools are on offer", async () => {
    const { engine, text, post } = harness();
    engine.script = { tokens: CALLS };
    const extra = { tools: TOOLS, tool_choice: "none" };
    const body = await (await post("/v1/chat/completions", chat(extra))).json();
    assertEquals(body.choices[0].finish_reason, "stop");
    assertStringIncludes(body.choices[0].message.content, "<tool_call>");
    assertEquals(text.rendered[0]?.options.tools, []);
  });

  it("ends after the first call when calls may not be parallel", async () => {
    const { engine, post } = harness();
    engine.script = { tokens: CALLS };
    const extra = { tools: TOOLS, parallel_tool_calls: false };
    const body = await (await post("/v1/chat/completions", chat(extra))).json();
    assertEquals(body.choices[0].message.tool_calls.length, 1);
    assertEquals(body.choices[0].finish_reason, "tool_calls");
    assertEquals(engine.aborts, ["decode"]);
  });

  it("says length, not tool_calls, when a call was cut off", async () => {
    const { engine, post } = harness();
    engine.script = { tokens: CALLS };
    const extra = { tools: TOOLS, max_tokens: CALLS.length - 4 };
    const body = await (await post("/v1/chat/completions", chat(extra))).json();
    assertEquals(body.choices[0].finish_reason, "length");
    assertEquals(body.usage.completion_tokens, CALLS.length - 4);
  });

  it("keeps thinking that was cut off out of the content", async () => {
    const { engine, post } = harness();
    engine.script = { tokens: ids("thinking on") };
    const body = await (await post("/v1/chat/completions", chat({ max_tokens: 3 }))).json();
    const { message, finish_reason } = body.choices[0];
    assertEquals([message.content, message.reasoning_content, finish_reason], [
      "",
      "thi",
      "length",
    ]);
    assertEquals(body.usage.completion_tokens_details.reasoning_tokens, 3);
  });

  it("stops the engine at a stop string", async () => {
    const { engine, post } = harness();
    engine.script = { tokens: ids("</think>one two three") };
    const body = await (await post("/v1/chat/completions", chat({ stop: " tw" }))).json();
    assertEquals(body.choices[0].message.content, "one");
    assertEquals(body.choices[0].finish_reason, "stop");
    assertEquals(engine.aborts, ["decode"]);
    assertEquals(body.usage.completion_tokens, 1 + "one tw".length);
  });

  it("names tokens, bytes and alternatives in log-probabilities", async (t) => {
    const { engine, post } = harness();
    engine.script = { tokens: [ID.endThink, 0xc3, 0xa9, ID.imEnd] };
    const extra = { logprobs: true, top_logprobs: 1 };
    const body = await (await post("/v1/chat/completions", chat(extra))).json();
    await assertSnapshot(t, body.choices[0].logprobs);
    const byId = { ...extra, return_tokens_as_token_ids: true };
    const named = await (await post("/v1/chat/completions", chat(byId))).json();
    assertEquals(named.choices[0].logprobs.content[1].token, "token_id:195");
  });

  it("hands the engine what was asked for", async () => {
    const { engine, text, post } = harness();
    engine.script = { tokens: ANSWER };
    await post(
      "/v1/chat/completions",
      chat({
        temperature: 0.5,
        top_p: 0.25,
        top_k: -1,
        min_p: 0.125,
        presence_penalty: 1,
        frequency_penalty: -1,
        repetition_penalty: 1.25,
        seed: 2 ** 32 + 5,
        logit_bias: { "7": -100 },
        max_completion_tokens: 9,
        max_tokens: 5,
        stop_token_ids: [33],
        cache_salt: "salt",
        top_logprobs: 3,
        logprobs: true,
      }),
    );
    const [request] = engine.requests;
    assertEquals(request, {
      tokens: ids("user:hi\n<think>"),
      sampling: {
        temperature: 0.5,
        topP: 0.25,
        topK: 0,
        minP: 0.125,
        presencePenalty: 1,
        frequencyPenalty: -1,
        repetitionPenalty: 1.25,
        seed: 5,
        logitBias: [[7, -100]],
        idLimit: text.vocabulary.size,
      },
      maxTokens: 9,
      stopIds: [ID.imEnd, 33],
      checkpoints: [1],
      owner: "/salt",
      logprobs: 3,
    });
  });

  it("takes an empty nucleus for greed, and thinking under either name", async () => {
    const { engine, text, post } = harness();
    const messages = [
      { role: "user", content: "a" },
      { role: "assistant", content: "b", reasoning: "because" },
      { role: "user", content: "c" },
    ];
    await (await post("/v1/chat/completions", { messages, top_p: 0, temperature: 1.5 })).json();
    const sampling = engine.requests[0]?.sampling;
    assertEquals([sampling?.temperature, sampling?.topP], [0, 1]);
    assertEquals(text.rendered[0]?.messages[1]?.reasoning_content, "because");
  });

  it("fills in the defaults of thinking or of its absence, and the rest of the context", async () => {
    const { engine, post } = harness();
    engine.script = { tokens: ANSWER };
    await post("/v1/chat/completions", chat());
    await post("/v1/chat/completions", chat({ reasoning_effort: "none", ignore_eos: true }));
    const [thinking, instruct] = engine.requests;
    assertEquals(thinking?.sampling.temperature, 1);
    assertEquals(thinking?.sampling.presencePenalty, 1.5);
    assertEquals(thinking?.maxTokens, 512 - ids("user:hi\n<think>").length);
    assertEquals(thinking?.logprobs, undefined);
    assertEquals(instruct?.sampling.temperature, 0.7);
    assertEquals(instruct?.stopIds, []);
  });

  it("sends an error chunk before [DONE] when the engine fails in mid-stream", async () => {
    const { engine, post } = harness();
    engine.script = {
      tokens: ANSWER,
      failAt: 2,
      fail: new EngineError("device_lost", "The GPU is gone"),
    };
    const response = await post("/v1/chat/completions", chat({ stream: true }));
    assertEquals(response.status, 200);
    const events = await readEvents(response);
    assertEquals(events.at(-1), "data: [DONE]");
    assertEquals(events.at(-2), {
      error: {
        message: "The GPU is gone",
        type: "unavailable_error",
        param: null,
        code: "device_lost",
      },
    });
    const whole = await post("/v1/chat/completions", chat());
    assertEquals(whole.status, 503);
  });
});
