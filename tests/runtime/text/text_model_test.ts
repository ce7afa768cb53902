import { assert, assertEquals } from "@std/assert";
import type { ChatMessage, RenderOptions } from "../../../runtime/text/mod.ts";
import { id, model, tokenizer } from "./fixture.ts";

/** The prompt cut at its checkpoints. */
function cuts(messages: ChatMessage[], options: RenderOptions = {}): string[] {
  const { ids, checkpoints } = model.encodeChat(messages, options);
  return [0, ...checkpoints].map((from, i) =>
    tokenizer.decode(ids.slice(from, checkpoints[i] ?? ids.length), { skipSpecial: false })
  );
}

const SYSTEM: ChatMessage = { role: "system", content: "s" };
const CALL: ChatMessage = {
  role: "assistant",
  reasoning_content: "r",
  tool_calls: [{ function: { name: "f", arguments: "{}" } }],
};

Deno.test("TextModel.encodeChat() encodes what the prompt reads", () => {
  const { ids, prompt } = model.encodeChat([SYSTEM, { role: "user", content: "naïve 天" }]);
  assertEquals(tokenizer.decode(ids, { skipSpecial: false }), prompt);
  assertEquals(ids[0], id("<|im_start|>"));
  assertEquals(ids.at(-2), id("<think>"));
});

Deno.test("TextModel.encodeChat() marks the borders of a conversation", () => {
  assertEquals(
    cuts([
      SYSTEM,
      { role: "user", content: "1" },
      { role: "assistant", content: "one" },
      { role: "user", content: "2" },
    ]),
    [
      "<|im_start|>system\ns<|im_end|>\n",
      "<|im_start|>user\n1<|im_end|>\n<|im_start|>assistant\none<|im_end|>\n",
      "<|im_start|>user\n2<|im_end|>\n<|im_start|>assistant\n",
      "<think>\n",
    ],
  );
});

Deno.test("TextModel.encodeChat() marks where the thinking of a tool loop will be dropped", () => {
  assertEquals(
    cuts([{ role: "user", content: "go" }, CALL, { role: "tool", content: "42" }], {
      enableThinking: false,
    }),
    [
      "<|im_start|>user\ngo<|im_end|>\n<|im_start|>assistant\n",
      "<think>\nr\n</think>\n\n<tool_call>\n<function=f>\n</function>\n</tool_call><|im_end|>\n" +
      "<|im_start|>user\n<tool_response>\n42\n</tool_response><|im_end|>\n<|im_start|>assistant\n",
      "<think>\n\n</think>\n\n",
    ],
  );
});

Deno.test("TextModel.encodeChat() gives the next turn the same tokens up to a checkpoint", () => {
  const first: ChatMessage[] = [SYSTEM, { role: "user", content: "go" }];
  const now = model.encodeChat([...first, CALL, { role: "tool", content: "42" }]);
  const later = model.encodeChat([
    ...first,
    CALL,
    { role: "tool", content: "42" },
    { role: "assistant", content: "It is 42." },
    { role: "user", content: "thanks" },
  ]);
  const common = now.ids.findIndex((id, i) => id !== later.ids[i]);
  assert(now.checkpoints.includes(common), `${now.checkpoints} lacks ${common}`);
});

Deno.test("TextModel.encodeChat() tells whether the output starts in thinking", () => {
  const starts = (options: RenderOptions, content = "x") =>
    model.encodeChat([{ role: "user", content }], options).startsInThinking;
  assertEquals(starts({}), true);
  assertEquals(starts({ enableThinking: true }), true);
  assertEquals(starts({ enableThinking: false }), false);
  assertEquals(starts({ addGenerationPrompt: false }), false);
  assertEquals(starts({ enableThinking: false }, "why <think>\n"), false);
});

Deno.test("TextModel.createOutput() names calls at random", () => {
  const ids = tokenizer.encode("<tool_call>\n<function=f>\n</function>\n</tool_call>", {
    special: true,
  });
  const name = () => {
    const output = model.createOutput({ thinking: true, parseTools: true });
    return ids.flatMap((id) => output.push(id)).find((event) => event.type === "tool_start")?.id;
  };
  assert(/^call_[0-9a-f]{24}$/.test(name() ?? ""), name());
  assert(name() !== name(), "two calls have one name");
});
