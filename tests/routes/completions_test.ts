import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "@std/testing/bdd";
import { assertSnapshot } from "@std/testing/snapshot";
import { EngineError } from "../../runtime/mod.ts";
import { harness, type Json, readEvents } from "./harness.ts";
import { ID, ids } from "./mock_text.ts";

const PATH = "/v1/completions";

describe("POST /v1/completions", () => {
  it("continues a text", async (t) => {
    const { engine, post } = harness();
    engine.script = { tokens: [...ids("ld!"), ID.imEnd] };
    const body = await (await post(PATH, { prompt: "wor" })).json();
    assertMatch(body.id, /^cmpl-/);
    await assertSnapshot(t, { ...body, id: "ID", created: 0 });
    const [request] = engine.requests;
    assertEquals(request?.maxTokens, 16);
    assertEquals(request?.sampling.temperature, 0.9);
  });

  it("leaves thinking and calls in the text", async () => {
    const { engine, post } = harness();
    engine.script = { tokens: ids("a</think>b<tool_call>c") };
    const body = await (await post(PATH, { prompt: "x" })).json();
    assertEquals(body.choices[0].text, "a</think>b<tool_call>c");
    assertEquals(body.choices[0].finish_reason, "length");
  });

  for (
    const [name, prompt, expected] of [
      ["a text with special tokens", "a<|im_end|>", [[97, ID.imEnd]]],
      ["texts", ["a", "bc"], [[97], [98, 99]]],
      ["ids", [97, ID.imEnd], [[97, ID.imEnd]]],
      ["lists of ids", [[97], [98, 299]], [[97], [98, 299]]],
    ] as const
  ) {
    it(`takes ${name} for a prompt`, async () => {
      const { engine, post } = harness();
      engine.script = ({ tokens }) => ({ tokens: [tokens[0]! - 32] });
      const body = await (await post(PATH, { prompt, temperature: 0 })).json();
      assertEquals(engine.requests.map(({ tokens }) => tokens), expected.map((one) => [...one]));
      const texts = expected.map(([first]) => String.fromCharCode(first - 32));
      assertEquals(body.choices.map(({ text }: Json) => text), texts);
      assertEquals(body.choices.map(({ index }: Json) => index), texts.map((_, index) => index));
      assertEquals(body.usage.prompt_tokens, expected.flat().length);
      assertEquals(body.usage.completion_tokens, expected.length);
    });
  }

  it("scores prompt and answer in the lists that evaluation harnesses read", async (t) => {
    const { engine, post } = harness();
    engine.script = { tokens: [0xa9, ID.imEnd] };
    const extra = { prompt: [104, 0xc3], echo: true, logprobs: 1, max_tokens: 2 };
    const body = await (await post(PATH, extra)).json();
    await assertSnapshot(t, body.choices[0]);
  });

  it("scores the prompt alone with max_tokens 0", async () => {
    const { engine, post } = harness();
    engine.script = { tokens: ids("never") };
    const extra = { prompt: ["😀b", "c"], echo: true, logprobs: 0, max_tokens: 0 };
    const body = await (await post(PATH, extra)).json();
    const [first, second] = body.choices;
    assertEquals(first.text, "😀b");
    assertEquals(first.finish_reason, "length");
    assertEquals(first.logprobs, {
      tokens: ["bytes:\\xf0", "bytes:\\x9f", "bytes:\\x98", "bytes:\\x80", "b"],
      token_logprobs: [null, -1.59, -1.52, -1.28, -0.98],
      top_logprobs: [
        null,
        { "bytes:\\x9f": -1.59 },
        { "bytes:\\x98": -1.52 },
        { "bytes:\\x80": -1.28 },
        { b: -0.98 },
      ],
      text_offset: [0, 0, 0, 0, 1],
    });
    assertEquals(second.logprobs.tokens, ["c"]);
    assertEquals(second.logprobs.token_logprobs, [null]);
    assertEquals(body.usage.completion_tokens, 0);
    assertEquals(engine.requests[0]?.promptLogprobs, 0);
    assertEquals(engine.requests[0]?.maxTokens, 0);
  });

  it("names tokens by id when asked to", async () => {
    const { engine, post } = harness();
    engine.script = { tokens: [66] };
    const extra = { prompt: "A", echo: true, logprobs: 2, return_tokens_as_token_ids: true };
    const { logprobs } = (await (await post(PATH, extra)).json()).choices[0];
    assertEquals(logprobs.tokens, ["token_id:65", "token_id:66"]);
    assertEquals(logprobs.top_logprobs, [null, { "token_id:65": 0, "token_id:66": -1 }]);
  });

  it("computes nothing when nothing is asked for", async () => {
    const { engine, post } = harness();
    const body = await (await post(PATH, { prompt: "abc", echo: true, max_tokens: 0 })).json();
    assertEquals(body.choices[0].text, "abc");
    assertEquals(engine.requests.length, 0);
  });

  it("streams what it answers whole", async () => {
    const { engine, post } = harness();
    engine.script = ({ tokens }) => ({ tokens: [...ids("é one STOP"), ...tokens] });
    const extra = { prompt: ["p", "q"], echo: true, logprobs: 1, stop: "ST", max_tokens: 12 };
    const whole = await (await post(PATH, extra)).json();
    const events = await readEvents(
      await post(PATH, { ...extra, stream: true, stream_options: { include_usage: true } }),
    );
    assertEquals(events.at(-1), "data: [DONE]");
    assertEquals(events.at(-2).choices, []);
    assertEquals(events.at(-2).usage, whole.usage);
    const choices: Json[] = [];
    for (const { choices: [choice] } of events.slice(0, -2)) {
      const sum = choices[choice.index] ??= { ...choice, text: "", logprobs: {} };
      sum.text += choice.text;
      for (const [list, values] of Object.entries<Json>(choice.logprobs)) {
        sum.logprobs[list] = [...sum.logprobs[list] ?? [], ...values];
      }
      sum.finish_reason = choice.finish_reason;
    }
    assertEquals(choices, whole.choices);
    assertEquals(whole.choices[0].text, "pé one ");
    assertEquals(whole.choices[1].finish_reason, "stop");
    assertEquals(engine.active, 0);
  });

  it("scores a prompt with more tokens than a call takes arguments", async () => {
    const { post } = harness({}, { contextLength: 300_000 });
    const prompt = Array.from({ length: 200_000 }, (_, i) => i % 250);
    const scored = { max_tokens: 0, echo: true, logprobs: 0 };
    const { choices: [choice] } = await (await post(PATH, { prompt, ...scored })).json();
    assertEquals(choice.logprobs.token_logprobs.length, prompt.length);
    assertEquals(choice.logprobs.text_offset.at(-1), choice.logprobs.text_offset.at(-2) + 1);
  });

  it("answers many prompts a few at a time, in order", async () => {
    const { engine, post } = harness();
    let most = 0;
    engine.script = ({ tokens }) => {
      most = Math.max(most, engine.active);
      return { tokens: [tokens[0]!], prefillMs: 5 - (tokens[0]! % 5) };
    };
    const prompt = Array.from({ length: 20 }, (_, index) => [65 + index]);
    const body = await (await post(PATH, { prompt })).json();
    assertEquals(body.choices.map(({ text }: Json) => text).join(""), "ABCDEFGHIJKLMNOPQRST");
    assertEquals(most < 4, true);
  });

  it("fails as a whole when one of its prompts fails", async () => {
    const { engine, post } = harness();
    engine.script = ({ tokens }) =>
      tokens[0] === 98
        ? { refuse: new EngineError("overloaded", "Full") }
        : { tokens, prefillMs: 60_000 };
    const response = await post(PATH, { prompt: ["a", "b", "c"] });
    assertEquals(response.status, 429);
    assertEquals(response.headers.get("retry-after"), "2");
    await response.body?.cancel();
    await new Promise((resolve) => setTimeout(resolve, 0));
    assertEquals(engine.active, 0);
  });
});
