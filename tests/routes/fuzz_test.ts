/** Bodies that nobody foresaw: an answer or a refusal that names itself, never a 5xx. */
import { assert, assertEquals } from "@std/assert";
import fc from "fast-check";
import { stub } from "@std/testing/mock";
import { chat, harness, type Json } from "./harness.ts";
import { ids } from "./mock_text.ts";

const PATHS = [
  "/v1/chat/completions",
  "/v1/completions",
  "/tokenize",
  "/detokenize",
  "/apply-template",
];

/** Posts and checks the shape of what comes back. */
async function ask(post: ReturnType<typeof harness>["post"], path: string, body: unknown) {
  const response = await post(path, body);
  const text = await response.text();
  const shown = `${response.status} for ${path} ${JSON.stringify(body)}: ${text}`;
  assert(response.status < 500, shown);
  if (response.status !== 200) {
    const { error } = JSON.parse(text) as Json;
    assertEquals(["message", "type"].map((field) => typeof error[field]), ["string", "string"]);
    assertEquals(error.type, "invalid_request_error", shown);
  } else if (response.headers.get("content-type") === "text/event-stream") {
    assert(text.endsWith("data: [DONE]\n\n"), shown);
    assertEquals(text.includes('"error"'), false, shown);
  } else {
    JSON.parse(text);
  }
  return response.status;
}

function fuzzed() {
  const mocks = harness({ maxQueue: 2 });
  mocks.engine.script = { tokens: ids('a</think>é STOP<tool_call>f{"x":1}</tool_call>') };
  return mocks;
}

/** Values around the limits of every kind of field, and of other kinds. */
const value = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, "", "auto", "none", "text", [], {}, [[]], -0),
  fc.integer({ min: -3, max: 25 }),
  fc.constantFrom(0.5, 1e308, -1e-9, 2 ** 31, 2 ** 53, -(2 ** 53), 299, 300),
  fc.string({ maxLength: 8, unit: "binary" }),
  fc.array(fc.integer({ min: -1, max: 301 }), { maxLength: 4 }),
  fc.array(fc.string({ maxLength: 3 }), { maxLength: 18 }),
  fc.dictionary(fc.string({ maxLength: 4 }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }),
);

const KNOWN_FIELDS = [
  "temperature",
  "top_p",
  "top_k",
  "min_p",
  "presence_penalty",
  "frequency_penalty",
  "repetition_penalty",
  "seed",
  "stop",
  "stop_token_ids",
  "ignore_eos",
  "logit_bias",
  "stream",
  "stream_options",
  "max_tokens",
  "max_completion_tokens",
  "logprobs",
  "top_logprobs",
  "n",
  "echo",
  "tools",
  "tool_choice",
  "parallel_tool_calls",
  "response_format",
  "chat_template_kwargs",
  "reasoning_effort",
  "cache_salt",
  "return_tokens_as_token_ids",
  "prompt",
  "messages",
  "content",
  "tokens",
  "parse_special",
  "with_pieces",
  "model",
  "__proto__",
  "constructor",
];

const part = fc.record({ type: fc.constantFrom("text", "text", "image_url"), text: fc.string() }, {
  requiredKeys: ["type"],
});
const message = fc.record({
  role: fc.constantFrom("user", "user", "system", "assistant", "tool", "developer"),
  content: fc.oneof(fc.string({ unit: "binary" }), fc.array(part, { maxLength: 3 })),
  reasoning_content: fc.string(),
  tool_calls: fc.array(fc.record({
    id: fc.string(),
    function: fc.record({
      name: fc.string(),
      arguments: fc.oneof(fc.string(), fc.json(), fc.object({ maxDepth: 2 })),
    }),
  })),
}, { requiredKeys: ["role", "content"] });

Deno.test("routes answer or refuse any JSON body, never with a 5xx", async () => {
  const { post } = fuzzed();
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...PATHS), fc.jsonValue(), async (path, body) => {
      await ask(post, path, JSON.stringify(body));
    }),
    { numRuns: 300 },
  );
});

Deno.test("routes answer or refuse any text as a body, never with a 5xx", async () => {
  const { post } = fuzzed();
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...PATHS),
      fc.string({ unit: "binary" }),
      async (path, body) => {
        await ask(post, path, body);
      },
    ),
    { numRuns: 200 },
  );
});

Deno.test("routes answer or refuse known fields of any value, never with a 5xx", async () => {
  const { post } = fuzzed();
  const fields = fc.dictionary(fc.constantFrom(...KNOWN_FIELDS), value, { maxKeys: 4 });
  const valid: Record<string, Record<string, unknown>> = {
    "/v1/chat/completions": chat(),
    "/v1/completions": { prompt: "ab" },
    "/tokenize": { content: "ab" },
    "/detokenize": { tokens: [97] },
    "/apply-template": chat(),
  };
  let answered = 0;
  await fc.assert(
    fc.asyncProperty(fc.constantFrom(...PATHS), fields, async (path, extra) => {
      const status = await ask(post, path, JSON.stringify({ ...valid[path], ...extra }));
      if (status === 200) answered++;
    }),
    { numRuns: 1000 },
  );
  assert(
    answered > 100,
    `only ${answered} of 1000 bodies were valid: the fields are drawn too wild`,
  );
});

Deno.test("chat answers or refuses any conversation, never with a 5xx", async () => {
  const { post } = fuzzed();
  const messages = fc.array(message, { minLength: 1, maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(messages, fc.boolean(), async (messages, stream) => {
      await ask(post, "/v1/chat/completions", { messages, stream });
    }),
    { numRuns: 300 },
  );
});

Deno.test("a fuzzed 5xx would be seen", async () => {
  const { engine, post } = fuzzed();
  using _log = stub(console, "error");
  engine.script = { refuse: new TypeError("bug") as never };
  const failed = await ask(post, "/v1/completions", { prompt: "a" }).then(() => false, () => true);
  assert(failed);
});
