import { assert, assertEquals } from "@std/assert";
import { ITEMS_AT_ONCE, longList } from "../../routes/long_list.ts";

Deno.test("longList() is the JSON of the whole, for lists of any length", async () => {
  for (const length of [0, 1, ITEMS_AT_ONCE - 1, ITEMS_AT_ONCE, ITEMS_AT_ONCE + 1, 20_000]) {
    const items = Array.from({ length }, (_, i) => i % 3 === 0 ? { id: i, piece: '"é' } : i);
    const text = await new Response(longList({ count: length, a: "]}" }, "items", { items }))
      .text();
    assertEquals(text, JSON.stringify({ count: length, a: "]}", items }), `${length} items`);
  }
});

Deno.test("longList() leaves others their turns between pieces, and makes none that nobody reads", async () => {
  // A list of a million tokens was once made in one go, for which every stream waited half a second.
  let made = 0;
  const items = Array.from({ length: 50 * ITEMS_AT_ONCE }, (_, i) => i);
  const json = (item: number) => {
    made++;
    return String(item);
  };
  const reader = longList({}, "items", { items, json }).getReader();
  let turns = 0;
  const timer = setInterval(() => turns++, 0);
  for (let i = 0; i < 20; i++) await reader.read();
  clearInterval(timer);
  assert(turns >= 10, `${turns} turns in 20 pieces`);
  await reader.cancel();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert(made <= 24 * ITEMS_AT_ONCE, `${made} of ${items.length} items were made`);
});
