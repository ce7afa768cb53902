import { assertEquals } from "@std/assert";
import { aheadBound, MAX_AHEAD, Pace } from "../../../runtime/engine/pace.ts";

Deno.test("Pace takes as many steps as fit 50 ms, one until a step was timed", () => {
  const pace = new Pace(16, false);
  const steps = [pace.steps];
  for (const [ms, count] of [[5, 1], [40, 10], [26, 1], [51, 1], [3, 2]] as const) {
    pace.took(ms, count);
    steps.push(pace.steps);
  }
  assertEquals(steps, [1, 10, 12, 1, 1, 16]);
});

Deno.test("Pace takes the steps that were asked for, however long they are", () => {
  const pace = new Pace(8, true);
  pace.took(1000, 1);
  assertEquals(pace.steps, 8);
});

Deno.test("aheadBound() lets a software adapter wait for every step unless told otherwise", () => {
  assertEquals([aheadBound(null, true), aheadBound(null, false)], [1, MAX_AHEAD]);
  assertEquals([aheadBound(8, true), aheadBound(1, false)], [8, 1]);
});
