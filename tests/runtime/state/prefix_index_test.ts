import { assertEquals } from "@std/assert";
import { type Keyed, PrefixIndex } from "../../../runtime/state/prefix_index.ts";

const key = (tokens: number[], owner = ""): Keyed => ({ tokens: Int32Array.from(tokens), owner });

for (const [name, chain] of [["its own hash", undefined], ["one hash for all", () => 7]] as const) {
  Deno.test(`PrefixIndex finds an owner's prefixes, longest first, with ${name}`, () => {
    const index = new PrefixIndex<Keyed>(chain);
    const [short, long, other, foreign, whole] = [
      key([1, 2]),
      key([1, 2, 3, 4]),
      key([1, 2, 9]),
      key([1, 2, 3], "b"),
      key([1, 2, 3, 4, 5]),
    ] as const;
    for (const each of [short, long, other, foreign, whole]) index.add(each);
    assertEquals(index.prefixes([1, 2, 3, 4, 5], ""), [whole, long, short]);
    assertEquals(index.prefixes([1, 2, 3, 4], ""), [long, short]);
    assertEquals(index.prefixes([1, 2, 3, 4], "b"), [foreign]);
    assertEquals(index.prefixes([2, 1], ""), []);
    assertEquals(index.delete(long), true);
    assertEquals(index.delete(long), false);
    assertEquals(index.prefixes([1, 2, 3, 4], ""), [short]);
  });
}

Deno.test("PrefixIndex tells owners apart whose names run into the tokens", () => {
  const index = new PrefixIndex<Keyed>();
  const a = "a".charCodeAt(0);
  index.add(key([a, 5], ""));
  assertEquals(index.prefixes([5], "a"), []);
  assertEquals(index.prefixes([a, 5], ""), [key([a, 5], "")]);
});
