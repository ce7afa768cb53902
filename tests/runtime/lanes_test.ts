import { assert, assertEquals, assertRejects } from "@std/assert";
import { allEnded, Lanes } from "../../runtime/lanes.ts";

const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("Lanes run as much at a time as there are lanes, in order", async () => {
  const lanes = new Lanes(3);
  let running = 0;
  let most = 0;
  const begun: number[] = [];
  const results = await allEnded(Array.from({ length: 10 }, (_, i) =>
    lanes.run(async () => {
      begun.push(i);
      most = Math.max(most, ++running);
      await turn();
      running--;
      return 2 * i;
    })));
  assertEquals(most, 3);
  assertEquals(begun, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
  assertEquals(results, [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
});

Deno.test("Lanes begin nothing after a failure, and nobody waits forever", async () => {
  const lanes = new Lanes(1);
  let begun = 0;
  const work = Array.from({ length: 3 }, (_, i) =>
    lanes.run(async () => {
      begun++;
      await turn();
      throw new Error(`number ${i}`);
    }));
  await assertRejects(() => allEnded(work), Error, "number 0");
  await assertRejects(() => lanes.run(turn), Error, "number 0");
  assertEquals(begun, 1);
});

Deno.test("allEnded() fails only when the last one has ended", async () => {
  let ended = false;
  const slow = turn().then(turn).then(() => {
    ended = true;
  });
  await assertRejects(() => allEnded([Promise.reject(new Error("fast")), slow]), Error, "fast");
  assert(ended);
});
