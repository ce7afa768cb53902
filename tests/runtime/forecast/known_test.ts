/** The calculator against numbers that were worked out or published elsewhere. @module */
import { assertAlmostEquals, assertEquals } from "@std/assert";
import { hitRate, leastHitRate } from "../../../runtime/forecast/hit_rate.ts";
import { flopsOfToken } from "../../../runtime/forecast/prefill.ts";
import { memberSubject } from "../../../runtime/forecast/subject.ts";
import { ask } from "./ask.ts";

Deno.test("hitRate() goes through the measured points, rises, and stays under them for unconnected texts", () => {
  assertEquals([hitRate(0), hitRate(0.27), hitRate(1)], [0, 0.835, 1]);
  for (let share = 0.01; share <= 1; share += 0.01) {
    assertEquals(hitRate(share) > hitRate(share - 0.01), true);
    assertEquals(leastHitRate(share) <= hitRate(share), true);
  }
  assertEquals([leastHitRate(0.36), leastHitRate(0.54)], [0.62, 0.72]);
});

// Gigabytes that are planned with / 0.94, slots a layer, expected hits in percent, MB paged in a token.
const TABLE = [
  [8, 29, [55, 65], 350],
  [12, 59, [78, 82], 201],
  [16, 88, [86, 89], 121],
  [24, 148, [94, 96], 50],
  [32, 208, [97.5, 99], 20],
] as const;

for (const [gigabytes, slots, [low, high], megabytes] of TABLE) {
  Deno.test(`forecast() of ${gigabytes} GB agrees with the table worked out by hand`, () => {
    // Drawn up for one sequence of 4,096 tokens with f16 keys and values, and about 1 GB set aside.
    const line = `--vram ${(gigabytes - 0.9) * 1e9} --bandwidth 448 --kv f16 --context 4096`;
    const { plan, speed } = ask(`${line} --sequences 1`);
    assertAlmostEquals(plan!.expertSlots, slots, 2);
    assertEquals(100 * speed!.hitRate.value > low && 100 * speed!.hitRate.value < high, true);
    assertAlmostEquals(speed!.pagedBytesPerToken.value / 1e6 / megabytes, 1, 0.35);
  });
}

Deno.test("forecast() reads what the roofline is drawn with", () => {
  const speed = (context: number) => ask(`--device h100-80gb --kv f16 --context ${context}`).speed!;
  // 3,481 MB of weights and the state read and written, with a convolution ring of 4 instead of 3 columns.
  assertAlmostEquals(speed(4096).bytesPerToken.value / 3.61e9, 1, 0.005);
  assertAlmostEquals(speed(4096).ceiling.value, 928, 5);
});

Deno.test("forecast() counts 20,480 bytes of f16 keys and values a token, twice as much as f32", () => {
  const kv = (format: string) => {
    const { plan } = ask(`--device h100-80gb --context 32768 --sequences 1 --kv ${format}`);
    return plan!.rows.find(([purpose]) => purpose === "KV")![2] / 32768;
  };
  assertEquals([kv("f16"), kv("f32")], [20_480, 40_960]);
});

Deno.test("flopsOfToken() of 35B-A3B is 4.9 GFLOP, and attention adds 163,840 a token of context", () => {
  const subject = memberSubject("35B-A3B", "fp8");
  assertAlmostEquals(2 * subject.activeWeights / 4.876e9, 1, 0.001);
  const at = (context: number) => flopsOfToken(subject, context);
  assertEquals(at(1000) - at(0), 163_840_000);
});

// Bandwidth, GB/s, and the range of tokens a second that published engines and their ratios make realistic.
const REALISTIC = [
  [256, 29, 42],
  [400, 45, 65],
  [936, 65, 95],
  [1792, 90, 145],
  [3350, 110, 195],
] as const;

for (const [bandwidth, low, high] of REALISTIC) {
  Deno.test(`forecast() of ${bandwidth} GB/s stays within what is realistic`, () => {
    const { speed } = ask(`--vram 80G --bandwidth ${bandwidth}`);
    const { value } = speed!.tokensPerSecond;
    assertEquals(value >= low && value <= high, true, String(value));
  });
}
