import { assert, assertEquals } from "@std/assert";
import { Tokenizer as Encoder } from "@huggingface/tokenizers";
import fc from "fast-check";
import { textSlices } from "../../../runtime/text/text_slices.ts";
import { golden, tokenizer } from "./fixture.ts";

const library = new Encoder({ ...golden<object>("tokenizer.json"), added_tokens: [] }, {});
const whole = (text: string) => library.encode(text, { add_special_tokens: false }).ids;

/** Text of what borders are made of: word ends, look-ahead, contractions, composition, surrogates. */
const text = fc.array(
  fc.oneof(
    fc.constantFrom("a", "don't", "'S", "é", "e\u0301", "한", "\u1112\u1161\u11ab", "天", "7"),
    fc.constantFrom(" ", "  ", "\t", "\n", "\r\n", "\u0085", "\u3000", "\ufeff", "\u0301"),
    fc.constantFrom(".", "...\n\n", "。", "'", "😀", "𝒜", "\ud800", "\udc00", "<|im_end|>"),
    fc.string({ unit: "binary", maxLength: 3 }),
  ),
  { maxLength: 40, size: "max" },
).map((parts) => parts.join(""));

Deno.test("textSlices() cuts where the ids of the slices are those of the whole", () => {
  let cuts = 0;
  fc.assert(
    fc.property(text, fc.integer({ min: 1, max: 12 }), (text, length) => {
      const slices = [...textSlices(text, length)];
      cuts += slices.length - 1;
      assertEquals(slices.join(""), text);
      assertEquals(slices.flatMap(whole), whole(text));
      assert(slices.slice(0, -1).every((slice) => slice.length >= length));
    }),
    { numRuns: 1500 },
  );
  assert(cuts > 3000, `only ${cuts} cuts were tried`);
});

Deno.test("textSlices() keeps its slices short where the text has words, of any script", () => {
  for (const words of ["Some words, and more.\n", "天地玄黄。", "x=[1, 2];\n\n\t", "слово "]) {
    const slices = [...textSlices(words.repeat(5000), 1000)];
    assert(slices.every(({ length }) => length < 1000 + words.length), words);
  }
  assertEquals([...textSlices("a".repeat(5000), 1000)].length, 1);
  assertEquals([...textSlices("", 1000)], []);
});

Deno.test("Tokenizer.encodeSteps() takes many short steps for a long prompt, to the library's ids", () => {
  const texts = golden<{ encode: [string][] }>("tokens.json").encode.map(([text]) => text);
  const prompt = texts.join(" | ").repeat(60);
  const steps = tokenizer.encodeSteps(prompt, { special: false });
  let taken = 0;
  let step = steps.next();
  for (; !step.done; step = steps.next()) taken++;
  assert(taken > prompt.length / 10_000, `${taken} steps for ${prompt.length} characters`);
  assertEquals(step.value, whole(prompt));
});
