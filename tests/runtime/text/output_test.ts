import { assert, assertEquals } from "@std/assert";
import type { OutputOptions } from "../../../runtime/text/mod.ts";
import { TextOutput } from "../../../runtime/text/output.ts";
import { id, parse, parseText, tokenizer } from "./fixture.ts";

const CALL = "<tool_call>\n<function=f>\n<parameter=x>\n1\n</parameter>\n</function>\n</tool_call>";

/** What each single id brings out. */
function steps(text: string, options: Partial<OutputOptions> = {}): string[] {
  const output = new TextOutput(tokenizer, { thinking: false, ...options }, () => "call_0");
  const ids = tokenizer.encode(text, { special: true });
  const events = [...ids.map((id) => output.push(id)), output.finish()];
  return events.map((events) => events.map((event) => "text" in event ? event.text : "").join(""));
}

Deno.test("TextOutput splits thinking from the answer", () => {
  for (
    const [text, thinking, reasoning, content] of [
      ["hm\n</think>\n\nyes", true, "hm", "yes"],
      ["<think>\nhm\n</think>\n\nyes", true, "hm", "yes"],
      ["hm <think> hm</think>yes", true, "hm <think> hm", "yes"],
      ["hm, I was cut \n", true, "hm, I was cut", ""],
      ["</think>yes", true, "", "yes"],
      ["\n\nyes \n", false, "", "yes \n"],
      ["<think>\nhm\n</think>\n\nyes", false, "hm", "yes"],
      ["\n</think>\n\nyes", false, "", "yes"],
      ["yes <think> no </think>", false, "", "yes <think> no </think>"],
    ] as const
  ) {
    const answer = parseText(text, { thinking });
    assertEquals([answer.reasoning, answer.content], [reasoning, content], JSON.stringify(text));
  }
});

Deno.test("TextOutput lets a call end the thinking, and only a real one", () => {
  const call = parseText(`hm\n\n${CALL}`, { thinking: true });
  assertEquals([call.reasoning, call.content, call.calls.length], ["hm", "", 1]);
  const talk = parseText("a <tool_call> is a tag</think>ok", { thinking: true });
  assertEquals([talk.reasoning, talk.content], ["a <tool_call> is a tag", "ok"]);
});

Deno.test("TextOutput leaves calls in the text where they are not wanted", () => {
  const answer = parseText(CALL, { parseTools: false });
  assertEquals([answer.content, answer.calls], [CALL, []]);
});

Deno.test("TextOutput changes nothing in raw mode, save for control tokens", () => {
  const text = ` \n<think>a</think> ${CALL} \n`;
  assertEquals(parseText(`${text}<|im_end|>`, { raw: true, thinking: true }).content, text);
});

Deno.test("TextOutput sends whole characters only", () => {
  const pieces = steps("天😀é");
  assertEquals(pieces.join(""), "天😀é");
  assert(pieces.length > 4, "the fixture has these characters as single tokens");
  assert(pieces.every((piece) => !piece.includes("\ufffd")), pieces.join("|"));
  const cut = tokenizer.encode("a😀", { special: true }).slice(0, -1);
  assertEquals(parse(cut, { thinking: false }).content, "a\ufffd");
});

Deno.test("TextOutput stops at a stop string and shows no part of it", () => {
  for (
    const [text, stop, content, stopped] of [
      ["one two three", ["two"], "one ", "two"],
      ["one two three", ["three", "two"], "one ", "two"],
      ["one two", ["two!"], "one two", null],
      ["abcabd", ["abd"], "abc", "abd"],
      ["xabcd", ["abcd", "bc"], "xa", "bc"],
      ["xabc", ["bc", "abc"], "x", "abc"],
      ["a\n\nb", ["\n\n"], "a", "\n\n"],
      ["x", [""], "x", null],
      ["天天😀", ["天😀"], "天", "天😀"],
    ] as const
  ) {
    const answer = parseText(text, { stop: [...stop] });
    assertEquals([answer.content, answer.stopped], [content, stopped], `${text} at ${stop}`);
    const pieces = steps(text, { stop: [...stop] });
    assertEquals(pieces.join(""), content);
  }
});

Deno.test("TextOutput looks for stop strings in the visible answer only", () => {
  const answer = parseText(`stop</think>${CALL}stop it`, { thinking: true, stop: ["stop"] });
  assertEquals([answer.reasoning, answer.calls.length, answer.stopped], ["stop", 1, "stop"]);
  assertEquals(parseText(CALL.replace("1", "stop"), { stop: ["stop"] }).stopped, null);
});

Deno.test("TextOutput is silent after a stop string", () => {
  const output = new TextOutput(tokenizer, { thinking: false, stop: ["b"] });
  output.push(id("b"));
  assertEquals([output.stopped, output.push(id("a")), output.finish()], ["b", [], []]);
});

Deno.test("TextOutput holds nothing back without a reason", () => {
  assertEquals(steps("one two").slice(0, -1).join(""), "one two");
  assertEquals(steps("abc", { stop: ["bcd"] }).at(-1), "bc");
});

Deno.test("TextOutput streams a text argument before it is complete", () => {
  const output = new TextOutput(tokenizer, { thinking: false, parseTools: true });
  const text = "<tool_call>\n<function=f>\n<parameter=x>\na long story";
  const events = tokenizer.encode(text, { special: true }).flatMap((id) => output.push(id));
  const args = events.map((event) => event.type === "tool_arguments" ? event.text : "").join("");
  assertEquals(args, '{"x": "a long story');
});
