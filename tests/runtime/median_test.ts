import { assertEquals } from "@std/assert";
import { median } from "../../runtime/median.ts";

Deno.test("median() takes the middle, or the mean of the two", () => {
  assertEquals(median([7]), 7);
  assertEquals(median([1, 10, 9]), 9);
  assertEquals(median([9, 1, 5]), 5);
  assertEquals(median([9, 1, 5, 6]), 5.5);
});
