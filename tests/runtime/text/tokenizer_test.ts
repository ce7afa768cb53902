import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { Tokenizer } from "../../../runtime/text/mod.ts";
import { compareTokens } from "../../oracle/text/compare.ts";
import { GOLDEN, golden, id, tokenizer } from "./fixture.ts";

Deno.test("Tokenizer encodes and decodes as the reference library does", () => {
  assertEquals(compareTokens(tokenizer, golden("tokens.json")), []);
});

Deno.test("Tokenizer.encode() makes added tokens only where they are asked for", () => {
  const text = "<|im_start|>a<think>";
  assertEquals(tokenizer.encode(text, { special: true }), [
    id("<|im_start|>"),
    id("a"),
    id("<think>"),
  ]);
  const plain = tokenizer.encode(text, { special: false });
  assert(plain.every((id) => !tokenizer.added.has(id)), "an added token came out of plain text");
  assertEquals(tokenizer.decode(plain, { skipSpecial: true }), text);
});

Deno.test("Tokenizer.encode() takes a prompt of half a million characters", () => {
  const ids = tokenizer.encode("<|im_start|>" + "lorem 17 天\n".repeat(50_000), { special: true });
  assert(ids.length > 200_000, `only ${ids.length} ids`);
});

Deno.test("Tokenizer.decode() hides control tokens and prints markup", () => {
  const ids = tokenizer.encode("<think>x</think><|im_end|>", { special: true });
  assertEquals(tokenizer.decode(ids, { skipSpecial: true }), "<think>x</think>");
  assertEquals(tokenizer.decode(ids, { skipSpecial: false }), "<think>x</think><|im_end|>");
});

Deno.test("Tokenizer keeps a byte order mark and spaces before punctuation", () => {
  for (const text of ["\ufeffa", "wait , what ?", " 's n't"]) {
    assertEquals(
      tokenizer.decode(tokenizer.encode(text, { special: true }), { skipSpecial: true }),
      text,
    );
  }
});

Deno.test("Tokenizer.pieceBytes() concatenates to the text's UTF-8", () => {
  const text = "a天😀é\u0000 <|im_end|>";
  const bytes = tokenizer.encode(text, { special: true }).flatMap((id) => [
    ...tokenizer.pieceBytes(id),
  ]);
  assertEquals(new Uint8Array(bytes), new TextEncoder().encode(text));
});

Deno.test("Tokenizer knows how many ids exist, and nothing beyond", () => {
  assertEquals(tokenizer.size, 968);
  assertEquals(tokenizer.idOf("<|audio_pad|>"), 967);
  assertEquals(tokenizer.idOf("no such token"), undefined);
  for (const unknown of [968, 248_319, -1]) {
    assertEquals(tokenizer.pieceBytes(unknown), new Uint8Array());
    assertEquals(tokenizer.decode([unknown], { skipSpecial: false }), "");
  }
});

Deno.test("Tokenizer.load() names the file and what is wrong with it", async () => {
  const dir = await Deno.makeTempDir();
  const write = (value: unknown) =>
    Deno.writeTextFile(`${dir}/tokenizer.json`, JSON.stringify(value));
  await assertRejects(() => Tokenizer.load(dir), TypeError, `Cannot load "${dir}/tokenizer.json"`);
  await write({ model: { type: "Unigram" }, added_tokens: [] });
  await assertRejects(() => Tokenizer.load(dir), TypeError, 'model.type is "Unigram"');
  await Deno.remove(dir, { recursive: true });
  const file = golden<{ added_tokens: Record<string, unknown>[] }>("tokenizer.json");
  const lstrip = { ...file, added_tokens: [{ ...file.added_tokens[0], lstrip: true }] };
  assertThrows(() => new Tokenizer(lstrip), TypeError, "lstrip");
  assertEquals((await Tokenizer.load(GOLDEN)).size, tokenizer.size);
});
