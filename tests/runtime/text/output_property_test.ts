/** However an output is cut into tokens, the same answer comes out, and nothing throws. @module */
import { assertEquals } from "@std/assert";
import fc from "fast-check";
import type { OutputOptions, ToolDefinition } from "../../../runtime/text/mod.ts";
import { id, parse, tokenizer } from "./fixture.ts";

const MARKUP = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>"];
const FRAGMENTS = [
  ...MARKUP,
  "<function=f>",
  "<function=",
  "</function>",
  "<parameter=text>",
  "<parameter=count>",
  "<parameter=",
  "</parameter>",
  "<parameter=text>\na value\n</parameter>\n",
  "<tool_call>\n<function=f>\n<parameter=text>\n",
  "\n</parameter>\n</function>\n</tool_call>",
  "\n",
  "\n\n",
  " ",
  "<",
  "</",
  ">",
  "12",
  "null",
  "word",
  "stop",
  "st",
  "天",
  "😀",
  "e\u0301",
  '"\\',
];
const TOOLS: ToolDefinition[] = [{
  type: "function",
  function: {
    name: "f",
    parameters: { properties: { text: { type: "string" }, count: { type: "integer" } } },
  },
}];

/** Every vocabulary entry by its bytes, as a Latin-1 string. */
const PIECES = new Map<string, number>();
for (let id = 0; id < tokenizer.size; id++) {
  if (!tokenizer.added.has(id)) PIECES.set(latin1(tokenizer.pieceBytes(id)), id);
}

function latin1(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

/** Cuts text into vocabulary entries; `choose(n)` picks one of the n that fit, shortest first. */
function cut(fragments: readonly string[], choose: (count: number) => number): number[] {
  const ids: number[] = [];
  let rest = "";
  const spell = () => {
    while (rest !== "") {
      const fitting = [1, 2, 3, 4, 5, 6, 8, 10].filter((n) =>
        n <= rest.length && PIECES.has(rest.slice(0, n))
      );
      const length = fitting[choose(fitting.length)]!;
      ids.push(PIECES.get(rest.slice(0, length))!);
      rest = rest.slice(length);
    }
  };
  for (const fragment of fragments) {
    if (MARKUP.includes(fragment)) {
      spell();
      ids.push(id(fragment));
    } else rest += latin1(new TextEncoder().encode(fragment));
  }
  spell();
  return ids;
}

const anyOptions: fc.Arbitrary<OutputOptions> = fc.record({
  thinking: fc.boolean(),
  parseTools: fc.boolean(),
  raw: fc.constantFrom(false, false, false, true),
  stop: fc.constantFrom([], ["stop"], ["\n\n", "word"], ["天", "stword"]),
  tools: fc.constant(TOOLS),
});

/** Fragments with their markers told apart. */
function splitMarkers(fragments: readonly string[]): string[] {
  const pattern = new RegExp(`(${MARKUP.join("|")})`);
  return fragments.flatMap((fragment) => fragment.split(pattern));
}

Deno.test("TextOutput gives one answer for every way to cut an output into tokens", () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...FRAGMENTS), { maxLength: 14 }),
      anyOptions,
      fc.infiniteStream(fc.nat({ max: 7 })),
      (fragments, options, choices) => {
        const parts = splitMarkers(fragments);
        const byteByByte = parse(cut(parts, () => 0), options);
        const longest = parse(cut(parts, (count) => count - 1), options);
        const mixed = parse(cut(parts, (count) => choices.next().value % count), options);
        assertEquals(byteByByte, longest);
        assertEquals(mixed, longest);
      },
    ),
    { numRuns: 4000, seed: 20260101 },
  );
});

Deno.test("TextOutput makes valid JSON of the arguments of every complete call", () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...FRAGMENTS), { maxLength: 14 }), (fragments) => {
      const start = ["<tool_call>", "<function=f>"];
      const ids = cut(splitMarkers([...start, ...fragments, "</tool_call>"]), () => 0);
      const { calls } = parse(ids, { thinking: false, parseTools: true, tools: TOOLS });
      for (const { args, ended } of calls) if (ended) JSON.parse(args);
    }),
    { numRuns: 2000, seed: 20260102 },
  );
});

Deno.test("TextOutput never throws on random ids", () => {
  fc.assert(
    fc.property(
      fc.array(fc.oneof(fc.nat({ max: 255 }), fc.nat({ max: 2000 }), fc.integer())),
      anyOptions,
      (ids, options) => {
        parse(ids, options);
      },
    ),
    { numRuns: 2000, seed: 20260103 },
  );
});

Deno.test("TextOutput loses no text in raw mode", () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: tokenizer.size - 1 })), (ids) => {
      const { content } = parse(ids, { thinking: true, raw: true });
      assertEquals(content, tokenizer.decode(ids, { skipSpecial: true }));
    }),
    { numRuns: 500, seed: 20260104 },
  );
});
