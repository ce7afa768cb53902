import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { timeStarts } from "./startup.ts";
import { type Measurements, targetLines, targets } from "./targets.ts";

const NOTHING: Measurements = { kernels: null, models: [], paging: [], starts: [] };
const row = (size: number, value: number) => ({ size, rate: { value, runs: 3 }, predicted: 1 });

/** 100 ms a token, 20 ms of it the head, 75 ms of it in all in kernels. */
const MODEL: Measurements["models"][number] = {
  name: "real",
  decode: {
    value: 10,
    predicted: { value: 1, formula: "" },
    runs: 3,
    weights: 1,
    ofRead: 1,
    ofCopy: 1,
    alone: { share: 0.75, ofPool: 0.8, ofCpu: null, head: 0.02 },
  },
  prompts: [row(128, 20), row(512, 40)],
  batches: [row(1, 10), { ...row(8, 25.2), overOne: 2.4 }],
};
const PAGED = { slots: 8, budget: 1, bytes: 1, predictedBytes: 1, rate: 1, residentRate: 1 };

function verdicts(measurements: Measurements): (boolean | null)[] {
  return targets(measurements).map(({ found, kept }) => found === null ? null : kept);
}

Deno.test("targets() says of nothing that it was not measured", () => {
  assertEquals(verdicts(NOTHING), [null, null, null, null, null, null]);
  assertMatch(targetLines(targets(NOTHING)), /---- {2}64 MB .* at least 60 %: not measured/);
});

Deno.test("targets() compares prefill with decoding without its head, and 8 sequences with one", () => {
  // 512 tokens at 40 a second against 80 ms each: 3.2 times. 8 sequences in turn with one: 2.4 times.
  const list = targets({ ...NOTHING, models: [MODEL] });
  assertEquals(list.map(({ found }) => found), ["75 %", null, "3.20x", "2.40x", null, null]);
  assertEquals(list.map(({ kept }) => kept), [true, false, true, false, false, false]);
  assertMatch(targetLines(list), /FAIL {2}8 sequences over one, at least 2\.50x: 2\.40x/);
});

Deno.test("targets() holds the worst hit rate and the warm start of the demo to their bounds", () => {
  const rows = [0.5, 0.719].map((hitRate) => ({ ...PAGED, hitRate, predictedHitRate: 0.7 }));
  const paging = (list: typeof rows) =>
    verdicts({ ...NOTHING, paging: [{ name: "x", rows: list }] });
  assertEquals(paging(rows)[4], false);
  assertEquals(paging(rows.slice(1))[4], true);
  const start = (firstToken: number, cache: "warm" | "cold" = "warm") =>
    verdicts({ ...NOTHING, starts: [{ name: "demo", cache, firstToken }] })[5];
  assertEquals([start(3.9), start(4), start(3, "cold")], [true, false, null]);
});

Deno.test("timeStarts() repeats what a server said that ended by itself", async () => {
  await assertRejects(
    () => timeStarts({ name: "nothing", args: ["--model", "/nowhere"] }, 1),
    Error,
    "/nowhere",
  );
});
