import { assertEquals } from "@std/assert";
import type { ToolDefinition } from "../../../runtime/text/mod.ts";
import { type Answer, parseText } from "./fixture.ts";

const TOOLS: ToolDefinition[] = [{
  type: "function",
  function: {
    name: "f",
    parameters: {
      type: "object",
      $defs: { day: { enum: ["mo", "tu"] } },
      properties: {
        text: { type: "string" },
        second: { type: "string" },
        count: { type: "integer" },
        ratio: { type: "number" },
        flag: { type: "boolean" },
        list: { type: "array", items: {} },
        map: { type: "object" },
        maybe: { anyOf: [{ type: "string" }, { type: "null" }] },
        mixed: { type: ["integer", "string"] },
        day: { $ref: "#/$defs/day" },
        loop: { $ref: "#/properties/loop" },
        any: {},
      },
    },
  },
}];

function parse(text: string): Answer {
  return parseText(text, { tools: TOOLS });
}

function call(parameters: string): string {
  return `<tool_call>\n<function=f>\n${parameters}</function>\n</tool_call>`;
}

function parameter(key: string, value: string): string {
  return `<parameter=${key}>\n${value}\n</parameter>\n`;
}

/** The arguments of the one call that comes out of these parameters. */
function argumentsOf(parameters: string): unknown {
  const answer = parse(call(parameters));
  assertEquals([answer.content, answer.calls.length, answer.cutOff], ["", 1, false], parameters);
  assertEquals(answer.calls[0]?.ended, true);
  return JSON.parse(answer.calls[0]?.args ?? "");
}

Deno.test("ToolCallParser reads a call, two calls, and a call without parameters", () => {
  const one = parse(call(parameter("text", "Oslo")));
  assertEquals(one.calls, [{ name: "f", args: '{"text": "Oslo"}', ended: true }]);
  const two = parse(`${call(parameter("text", "a"))}\n${call(parameter("text", "b"))}`);
  assertEquals(two.calls.map(({ args }) => args), ['{"text": "a"}', '{"text": "b"}']);
  assertEquals(two.content, "");
  assertEquals(argumentsOf(""), {});
});

Deno.test("ToolCallParser types arguments by the tool's schema", () => {
  for (
    const [key, value, wanted] of [
      ["text", "null", "null"],
      ["text", "12", "12"],
      ["count", "12", 12],
      ["count", " -3 ", -3],
      ["count", "+07", 7],
      ["count", "many", "many"],
      ["count", "Null", null],
      ["ratio", "1.50", 1.5],
      ["ratio", "1e3", 1000],
      ["ratio", "0x10", "0x10"],
      ["flag", "True", true],
      ["flag", "false", false],
      ["flag", "yes", false],
      ["list", '[1, "a", [null]]', [1, "a", [null]]],
      ["list", "[1, ", "[1, "],
      ["map", '{"a": {"b": 1}}', { a: { b: 1 } }],
      ["maybe", "null", null],
      ["maybe", "text", "text"],
      ["mixed", "5", 5],
      ["mixed", "five", "five"],
      ["day", "mo", "mo"],
      ["loop", "3", "3"],
      ["any", "3", "3"],
      ["undeclared", "true", "true"],
    ] as const
  ) {
    assertEquals(argumentsOf(parameter(key, value)), { [key]: wanted }, `${key}: ${value}`);
  }
  assertEquals(
    parse(call(parameter("count", "12345678901234567890"))).calls[0]?.args,
    '{"count": 12345678901234567890}',
  );
});

Deno.test("ToolCallParser passes a value on as it stands", () => {
  for (
    const value of [
      "",
      "\n",
      "two\n\nlines\n",
      "  indented",
      'quote " and \\ backslash',
      "a < b && c > d </b> &lt; &amp;",
      "the tag </parameter> in prose",
      "a </function> b",
      "</parameter",
      "<parameter=",
      "<parameter=other>\nx",
      "<parameter=text>",
      "<tool_call>\n<function=g>",
      "ends a call with </tool_call> they say",
      "<think>no</think>",
      "天气 😀\u0000\t\u2028",
    ]
  ) {
    assertEquals(
      argumentsOf(parameter("text", value) + parameter("count", "1")),
      { text: value, count: 1 },
      JSON.stringify(value),
    );
  }
});

Deno.test("ToolCallParser does without line breaks and with too many", () => {
  assertEquals(argumentsOf("<parameter=text>x</parameter><parameter=count>1</parameter>"), {
    text: "x",
    count: 1,
  });
  assertEquals(argumentsOf("\n \n<parameter=text>\nx\n</parameter>\n\n  \n"), { text: "x" });
});

Deno.test("ToolCallParser mends forgotten closing tags", () => {
  const open = "<tool_call>\n<function=f>\n";
  const text = "<parameter=text>\nx\n";
  const count = parameter("count", "1");
  for (
    const output of [
      `${open}${text}${count}</function>\n</tool_call>`,
      `${open}${text}</parameter>\n${count}</tool_call>`,
      `${open}${text}</parameter>\n${count}`.trimEnd() + "</function>",
    ]
  ) {
    const { calls, content, cutOff } = parse(output);
    assertEquals([calls.length, content, cutOff], [1, "", false], output);
    assertEquals(JSON.parse(calls[0]?.args ?? ""), { text: "x", count: 1 }, output);
  }
  for (const end of ["</function>\n</tool_call>", "</parameter>\n</tool_call>", "</tool_call>"]) {
    for (const next of ["", "\n", `\n${call("")}`]) {
      const { calls, content, cutOff } = parse(open + text + end + next);
      assertEquals(calls[0], { name: "f", args: '{"text": "x"}', ended: true }, end + next);
      assertEquals([content, cutOff], ["", false]);
      assertEquals(calls.length, next.trim() === "" ? 1 : 2);
    }
  }
});

Deno.test("ToolCallParser reads two functions in one pair of tags", () => {
  const { calls, content } = parse(
    "<tool_call>\n<function=f>\n</function>\n<function=g>\n</function>\n</tool_call>",
  );
  assertEquals(calls.map(({ name }) => name), ["f", "g"]);
  assertEquals(content, "");
});

Deno.test("ToolCallParser lets out as content what is no call", () => {
  for (
    const output of [
      "Use <tool_call> to call.",
      "<tool_call>",
      "<tool_call>\n",
      '<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>',
      "<tool_call><function=></function></tool_call>",
      `<tool_call><function=${"x".repeat(300)}></function></tool_call>`,
      "<tool_call><tool_call>x</tool_call></tool_call>",
      "a </tool_call> b",
      "<function=f>\n</function>",
    ]
  ) {
    const answer = parse(output);
    assertEquals([answer.content, answer.calls, answer.cutOff], [output, [], false]);
  }
  const junk = parse("<tool_call>\n<function=f>\n oops <x> \n</function>\n</tool_call>");
  assertEquals([junk.content, junk.calls[0]?.args], ["oops <x>", "{}"]);
});

Deno.test("ToolCallParser keeps text around calls and drops the space between", () => {
  const answer = parse(`Let me look.\n\n${call("")}\n${call("")}\n`);
  assertEquals([answer.content, answer.calls.length], ["Let me look.", 2]);
  assertEquals(parse(`${call("")}\n\nDone.\n`).content, "Done.");
});

Deno.test("ToolCallParser tells a call that was cut off", () => {
  for (
    const [output, args] of [
      ["<tool_call>\n<function=f>\n", ""],
      ["<tool_call>\n<function=f>\n<parameter=te", ""],
      ["<tool_call>\n<function=f>\n<parameter=text>\nhal", '{"text": "hal'],
      ["<tool_call>\n<function=f>\n<parameter=text>\nhal\n</param", '{"text": "hal'],
      ["<tool_call>\n<function=f>\n<parameter=count>\n12", '{"count": '],
      ["<tool_call>\n<function=f>\n<parameter=text>\nx\n</parameter>\n", '{"text": "x'],
    ] as const
  ) {
    const answer = parse(output);
    assertEquals(answer.calls, [{ name: "f", args, ended: false }], output);
    assertEquals([answer.cutOff, answer.content], [true, ""]);
  }
});

Deno.test("ToolCallParser takes a long list without looking at it again and again", () => {
  // 40,000 tokens took half a minute while every token searched the whole value for its end.
  const list = Array.from({ length: 3000 }, (_, i) => `<li>${i}</li>`);
  const started = performance.now();
  assertEquals(argumentsOf(parameter("list", JSON.stringify(list))), { list });
  const seconds = (performance.now() - started) / 1000;
  assertEquals(seconds < 10, true, `took ${seconds} s`);
});
