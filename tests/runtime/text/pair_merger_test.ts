import { assert, assertEquals } from "@std/assert";
import { Tokenizer as Encoder } from "@huggingface/tokenizers";
import fc from "fast-check";
import { PairMerger, type PairModel } from "../../../runtime/text/pair_merger.ts";
import { finish } from "../../../runtime/text/steps.ts";
import { Tokenizer } from "../../../runtime/text/tokenizer.ts";
import { GOLDEN, golden, tokenizer } from "./fixture.ts";

type File = { readonly model: Pick<PairModel, "merges"> & { readonly vocab: object } };

/** A tokenizer's merger, and the library's answer for a word in the byte alphabet. */
function open(file: File) {
  const library = new Encoder({ ...file, added_tokens: [] }, {});
  const { model } = library;
  const idOf = model!.tokens_to_ids;
  const merger = PairMerger.open({ idOf, merges: file.model.merges })!;
  const wanted = (word: string) => model!([word]).map((piece) => idOf.get(piece)!);
  return { merger, wanted, library };
}

const FILES = {
  golden: golden<File>("tokenizer.json"),
  demo: JSON.parse(
    Deno.readTextFileSync(new URL("../../../weights/demo/tokenizer.json", import.meta.url)),
  ) as File,
};

Deno.test("PairMerger merges every word to the library's ids", () => {
  for (const [name, file] of Object.entries(FILES)) {
    const { merger, wanted } = open(file);
    const letters = Object.keys(file.model.vocab).filter((piece) => [...piece].length === 1);
    const pieces = Object.keys(file.model.vocab).filter((piece) => /^[a-zĠäåæçè]+$/.test(piece));
    const word = fc.array(
      fc.oneof(
        { weight: 3, arbitrary: fc.constantFrom(...pieces) },
        { weight: 1, arbitrary: fc.constantFrom(...letters) },
        { weight: 1, arbitrary: fc.constantFrom("a", "aa", "aaaa", "e", "in", "nin") },
      ),
      { maxLength: 80, size: "max" },
    ).map((parts) => parts.join(""));
    fc.assert(
      fc.property(word, (word) => {
        assertEquals(finish(merger.mergeSteps(word)), wanted(word), `${name}: "${word}"`);
      }),
      { numRuns: 500 },
    );
  }
});

Deno.test("PairMerger leaves to the library what it cannot do", () => {
  const { merger } = open(FILES.golden);
  assertEquals(finish(merger.mergeSteps("天")), null);
  const idOf = new Map([["a", 0], ["b", 1]]);
  assertEquals(PairMerger.open({ idOf, merges: [["a", "b"]] }), null);
  assertEquals(
    PairMerger.open({ idOf: new Map([...idOf, ["ab", 2]]), merges: ["a b"] }) !== null,
    true,
  );
});

/** Words that nothing divides, and long slices of many words without a border. */
const LONG: Readonly<Record<string, string>> = {
  "one letter": "a".repeat(50_000),
  "letters": mixed("aeinrstl", 50_000),
  "Chinese": mixed("天地玄黄宇宙洪荒日月", 20_000),
  "composed by NFC": "e\u0301".repeat(20_000),
  "marks alone": "\u0301".repeat(20_000),
  "punctuation": mixed("!?#\n.", 30_000),
  "spaces": " ".repeat(30_000) + "x" + "\t \n".repeat(9000),
  "digits": mixed("0123456789", 30_000),
  "emoji": "😀👩‍👩‍👧".repeat(4000),
};

function mixed(letters: string, count: number): string {
  const all = [...letters];
  let random = 1;
  return Array.from({ length: count }, () => {
    random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
    return all[(random >>> 16) % all.length]!;
  }).join("");
}

Deno.test("Tokenizer.encode() gives the library's ids for long texts without a border", async () => {
  const demo = await Tokenizer.load(new URL("../../../weights/demo", import.meta.url).pathname);
  for (const [file, own] of [[FILES.golden, tokenizer], [FILES.demo, demo]] as const) {
    const { library } = open(file);
    for (const [name, text] of Object.entries(LONG)) {
      const { ids } = library.encode(text, { add_special_tokens: false });
      assertEquals(own.encode(text, { special: false }), ids, name);
    }
  }
});

Deno.test("Tokenizer.encodeSteps() takes many steps for one word of a megabyte", async () => {
  // It once was a single step of 4 to 16 seconds with a real vocabulary, and every other prompt waited.
  const own = await Tokenizer.load(GOLDEN);
  for (const text of ["a".repeat(2 ** 20), LONG.Chinese!.repeat(10)]) {
    const steps = own.encodeSteps(text, { special: false });
    let taken = 0;
    while (!steps.next().done) taken++;
    assert(taken > 50, `${taken} steps`);
  }
});
