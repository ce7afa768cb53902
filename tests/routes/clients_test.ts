/** The published clients against an open socket. */
import { assert, assertEquals, assertInstanceOf, assertRejects } from "@std/assert";
import { afterEach, beforeEach, describe, it } from "@std/testing/bdd";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { APICallError, generateText, jsonSchema, streamText, tool, type ToolSet } from "ai";
import OpenAI from "openai";
import { type RunningServer, serve } from "../../routes/server.ts";
import { EngineError } from "../../runtime/mod.ts";
import { harness, OPTIONS } from "./harness.ts";
import { ID, ids } from "./mock_text.ts";

const MODEL = OPTIONS.modelId;
const ANSWER = [...ids("hm</think>Hé!"), ID.imEnd];
const CALL = [...ids('hm</think><tool_call>add{"a":1,"b":2}</tool_call>'), ID.imEnd];
const PARAMETERS = {
  type: "object" as const,
  properties: { a: { type: "integer" as const }, b: { type: "integer" as const } },
};
const OPENAI_TOOLS = [{
  type: "function" as const,
  function: { name: "add", parameters: PARAMETERS },
}];
const MESSAGES = [{ role: "user" as const, content: "hi" }];

let mocks: ReturnType<typeof harness>;
let server: RunningServer;

async function open(): Promise<void> {
  mocks = harness({ apiKeys: ["secret"] });
  mocks.engine.script = { tokens: ANSWER, cached: 3 };
  const { app, engine } = mocks;
  server = await serve(app, { host: "127.0.0.1", port: 0, drainSeconds: 1, engine });
}

async function close(): Promise<void> {
  await server.stop();
}

describe("the openai client", () => {
  let client: OpenAI;
  beforeEach(async () => {
    await open();
    client = new OpenAI({
      baseURL: `http://127.0.0.1:${server.port}/v1`,
      apiKey: "secret",
      maxRetries: 0,
    });
  });
  afterEach(close);

  it("gets a whole answer", async () => {
    const answer = await client.chat.completions.create({ model: MODEL, messages: MESSAGES });
    const [choice] = answer.choices;
    assertEquals(choice?.message.content, "Hé!");
    assertEquals((choice?.message as unknown as Record<string, unknown>).reasoning_content, "hm");
    assertEquals(choice?.finish_reason, "stop");
    assertEquals(answer.usage?.prompt_tokens_details?.cached_tokens, 3);
    assert(answer._request_id);
  });

  it("gets a streamed answer with usage", async () => {
    const stream = await client.chat.completions.create({
      model: MODEL,
      messages: MESSAGES,
      stream: true,
      stream_options: { include_usage: true },
    });
    let text = "";
    let completionTokens = 0;
    for await (const chunk of stream) {
      text += chunk.choices[0]?.delta.content ?? "";
      completionTokens = chunk.usage?.completion_tokens ?? completionTokens;
    }
    assertEquals([text, completionTokens], ["Hé!", ANSWER.length]);
  });

  it("gets tool calls, whole and accumulated from a stream", async () => {
    mocks.engine.script = { tokens: CALL };
    const request = { model: MODEL, messages: MESSAGES, tools: OPENAI_TOOLS };
    const whole = await client.chat.completions.create(request);
    const streamed = await client.chat.completions.stream(request).finalChatCompletion();
    for (const { choices: [choice] } of [whole, streamed]) {
      assertEquals(choice?.finish_reason, "tool_calls");
      const [call] = choice?.message.tool_calls ?? [];
      assert(call?.type === "function");
      assertEquals([call.id, call.function.name], ["call_0", "add"]);
      assertEquals(JSON.parse(call.function.arguments), { a: 1, b: 2 });
    }
  });

  it("gets log-probabilities", async () => {
    const answer = await client.chat.completions.create({
      model: MODEL,
      messages: MESSAGES,
      logprobs: true,
      top_logprobs: 2,
    });
    const content = answer.choices[0]?.logprobs?.content ?? [];
    assertEquals(content.length, ANSWER.length - 1);
    assertEquals(content[0]?.token, "h");
    assertEquals(content[0]?.top_logprobs.length, 2);
  });

  it("completes text, echoes and scores it", async () => {
    mocks.engine.script = { tokens: ids("!") };
    const answer = await client.completions.create({
      model: MODEL,
      prompt: "ab",
      echo: true,
      logprobs: 0,
      max_tokens: 1,
    });
    assertEquals(answer.choices[0]?.text, "ab!");
    assertEquals(answer.choices[0]?.logprobs?.token_logprobs, [null, -0.98, -0.33] as number[]);
    const chunks = await Array.fromAsync(
      await client.completions.create({ model: MODEL, prompt: "ab", stream: true, max_tokens: 1 }),
    );
    assertEquals(chunks.map(({ choices: [choice] }) => choice?.text).join(""), "!");
  });

  it("lists models", async () => {
    const [model] = (await client.models.list()).data;
    assertEquals(model?.id, MODEL);
    assertEquals((await client.models.retrieve(MODEL)).id, MODEL);
  });

  it("throws the error class that belongs to each refusal", async () => {
    const create = (extra: object = {}) =>
      client.chat.completions.create({ model: MODEL, messages: MESSAGES, ...extra });
    const messages = [{ role: "user" as const, content: "x".repeat(600) }];
    const tooLong = await assertRejects(() => create({ messages }), OpenAI.BadRequestError);
    assertEquals(tooLong.code, "context_length_exceeded");
    const refused = await assertRejects(() => create({ n: 2 }), OpenAI.BadRequestError);
    assertEquals(refused.param, "n");
    mocks.engine.script = { refuse: new EngineError("overloaded", "Full") };
    const full = await assertRejects(() => create(), OpenAI.RateLimitError);
    assertEquals(full.headers.get("retry-after"), "2");
    const stranger = client.withOptions({ apiKey: "wrong" });
    await assertRejects(() => stranger.models.list().then(), OpenAI.AuthenticationError);
    await assertRejects(() => client.models.retrieve("other"), OpenAI.NotFoundError);
  });

  it("tries again when the queue is full", async () => {
    let hits = 0;
    mocks.engine.script = () =>
      ++hits < 2 ? { refuse: new EngineError("overloaded", "Full") } : { tokens: ANSWER };
    const patient = client.withOptions({ maxRetries: 1 });
    const answer = await patient.chat.completions.create({ model: MODEL, messages: MESSAGES });
    assertEquals([answer.choices[0]?.message.content, hits], ["Hé!", 2]);
  });

  it("hears of an error in mid-stream", async () => {
    mocks.engine.script = {
      tokens: ANSWER,
      failAt: 5,
      fail: new EngineError("device_lost", "The GPU is gone"),
    };
    const stream = await client.chat.completions.create({
      model: MODEL,
      messages: MESSAGES,
      stream: true,
    });
    const error = await assertRejects(() => Array.fromAsync(stream), OpenAI.APIError);
    assertEquals(error.code, "device_lost");
  });
});

describe("the Vercel AI SDK", () => {
  let provider: ReturnType<typeof createOpenAICompatible>;
  // The package's own types do not agree under exactOptionalPropertyTypes.
  const add = tool({ description: "add", inputSchema: jsonSchema(PARAMETERS) });
  const tools: ToolSet = { add: add as ToolSet[string] };
  beforeEach(async () => {
    await open();
    provider = createOpenAICompatible({
      name: "deltapage",
      baseURL: `http://127.0.0.1:${server.port}/v1`,
      apiKey: "secret",
      includeUsage: true,
    });
  });
  afterEach(close);

  it("gets a whole answer and its thinking", async () => {
    const answer = await generateText({ model: provider(MODEL), prompt: "hi" });
    assertEquals([answer.text, answer.reasoningText, answer.finishReason], ["Hé!", "hm", "stop"]);
    assertEquals(answer.usage.outputTokens, ANSWER.length);
    assertEquals(answer.usage.inputTokenDetails.cacheReadTokens, 3);
  });

  it("gets a streamed answer and its thinking", async () => {
    const answer = streamText({ model: provider(MODEL), prompt: "hi" });
    assertEquals((await Array.fromAsync(answer.textStream)).join(""), "Hé!");
    assertEquals(await answer.reasoningText, "hm");
    assertEquals((await answer.usage).outputTokens, ANSWER.length);
    assertEquals(await answer.finishReason, "stop");
  });

  it("gets tool calls, whole and streamed", async () => {
    mocks.engine.script = { tokens: CALL };
    const whole = await generateText({ model: provider(MODEL), prompt: "hi", tools });
    const streamed = streamText({ model: provider(MODEL), prompt: "hi", tools });
    for (const calls of [whole.toolCalls, await streamed.toolCalls]) {
      assertEquals(calls.map(({ toolName, input }) => [toolName, input]), [
        ["add", { a: 1, b: 2 }],
      ]);
    }
    assertEquals(await streamed.finishReason, "tool-calls");
  });

  it("throws refusals, and reports an error in mid-stream", async () => {
    const ask = (prompt: string) => generateText({ model: provider(MODEL), prompt, maxRetries: 0 });
    const tooLong = await assertRejects(() => ask("x".repeat(600)), APICallError);
    assertEquals([tooLong.statusCode, tooLong.isRetryable], [400, false]);
    mocks.engine.script = { refuse: new EngineError("overloaded", "Full") };
    const full = await assertRejects(() => ask("hi"), APICallError);
    assertEquals([full.statusCode, full.isRetryable], [429, true]);
    mocks.engine.script = { tokens: ANSWER, failAt: 5, fail: new EngineError("internal", "Broke") };
    const errors: unknown[] = [];
    const answer = streamText({
      model: provider(MODEL),
      prompt: "hi",
      onError: ({ error }) => void errors.push(error),
    });
    await answer.consumeStream();
    assertEquals(errors.length, 1);
    assertInstanceOf(errors[0], Error);
  });
});
