import { assert, assertAlmostEquals, assertEquals } from "@std/assert";
import { IN_PROMPT } from "../../shaders/sampler/layout.ts";
import {
  adjustedNaive,
  distributionNaive,
  type NaiveOptions,
  sampleNaive,
} from "../../shaders/sampler/naive.ts";
import { integers, pattern } from "../pattern.ts";
import { NEUTRAL, runSampler, type SamplerRow, testLogits } from "./sampler_case.ts";

/** A third of the ids generated once or more, a few in the prompt. */
function counts(vocab: number, salt: number): Uint32Array {
  return integers(vocab, 12, salt).map((n, id) =>
    (n < 4 ? n : 0) + (id % 5 === salt % 5 ? IN_PROMPT : 0)
  );
}

/** Every option alone, and the mixtures that clients send. */
function choices(vocab: number): NaiveOptions[] {
  const bias = pattern(vocab, 77).map((x, id) => id % 3 ? 0 : 6 * x);
  const changes: Partial<NaiveOptions>[] = [
    {},
    { temperature: 0 },
    { temperature: 0.3 },
    { temperature: 1.7 },
    { topK: 1 },
    { topK: 3 },
    { topK: 20 },
    { topK: 500 },
    { topK: vocab - 1 },
    { topK: vocab + 9 },
    { topP: 0.95 },
    { topP: 0.5 },
    { topP: 1e-6 },
    { topP: 0.9999, temperature: 2 },
    { minP: 0.05 },
    { minP: 1 },
    { counts: counts(vocab, 1), presence: 1.5 },
    { counts: counts(vocab, 2), frequency: 0.7 },
    { counts: counts(vocab, 3), repetition: 1.3 },
    { counts: counts(vocab, 4), presence: -1, frequency: -0.5, repetition: 0.8 },
    { bias },
    { bias, temperature: 0 },
    { realVocab: Math.ceil(vocab * 0.7) },
    { realVocab: Math.ceil(vocab * 0.7), topP: 0.9 },
    { realVocab: 1 },
    { temperature: 0.7, topK: 20, topP: 0.8, counts: counts(vocab, 5), presence: 1.5 },
    { temperature: 1.2, topK: 300, topP: 0.9, minP: 0.02 },
    { temperature: 0, counts: counts(vocab, 6), presence: 2, frequency: 0.3, repetition: 1.1 },
    {
      temperature: 0.9,
      topK: 40,
      topP: 0.95,
      minP: 0.01,
      counts: counts(vocab, 7),
      presence: 0.4,
      frequency: 0.2,
      repetition: 1.05,
      bias,
      realVocab: vocab - 2,
    },
  ];
  return changes.map((change, i) => ({ ...NEUTRAL, top: i % 21, seed: i * 7919, ...change }));
}

/** A threshold between the lowest logit that is kept and the highest that is dropped. */
function assertThreshold(threshold: number, { logits, options }: SamplerRow, told: string): void {
  if (options.temperature === 0) return;
  const adjusted = adjustedNaive(logits, options);
  distributionNaive(logits, options).forEach((probability, id) => {
    if (id >= options.realVocab) return;
    // f32: a logit up to 20 through four operations.
    const distance = adjusted[id]! - threshold;
    assert(probability > 0 ? distance > -4e-6 : distance < 4e-6, `${told}: ${threshold}, id ${id}`);
  });
}

for (const vocab of [5, 640, 1000, 16387]) {
  Deno.test(`the sampler matches naive for every option over ${vocab} ids`, async () => {
    const rows = [3, 500].flatMap((position): SamplerRow[] =>
      choices(vocab).map((options, i) => ({
        logits: testLogits(vocab, i + position),
        options,
        position: position + i,
      }))
    );
    const got = await runSampler(rows);
    rows.forEach((row, i) => {
      const want = sampleNaive(row.logits, row.options, row);
      const told = `row ${i}: ${JSON.stringify({ ...row.options, counts: 0, bias: 0 })}`;
      assertEquals(got[i]!.id, want.id, told);
      // f32: logits up to 12, sums of 16,387 exponentials.
      assertAlmostEquals(got[i]!.logprob, want.logprob, 5e-6, told);
      assertEquals(got[i]!.top.map((t) => t.id), want.top.map((t) => t.id), told);
      want.top.forEach((t, j) => assertAlmostEquals(got[i]!.top[j]!.logprob, t.logprob, 5e-6));
      assertEquals(got[i]!.bad, false);
      assertThreshold(got[i]!.threshold, row, told);
    });
  });
}

Deno.test("the sampler draws in proportion to the probabilities", async () => {
  const logits = new Float32Array([0.3, -1, 2, 0.3, -5]);
  for (const options of [NEUTRAL, { ...NEUTRAL, topK: 3, temperature: 1.5 }]) {
    const draws = 2000;
    const rows = Array.from({ length: draws }, (_, i) => ({
      logits,
      // Half the draws differ by seed, half by position.
      options: { ...options, seed: i % 2 ? 99 : i },
      position: i % 2 ? i : 7,
    }));
    const seen = new Array(5).fill(0);
    for (const { id } of await runSampler(rows)) seen[id]++;
    const expected = distributionNaive(logits, options).map((p) => p * draws);
    let chiSquare = 0;
    expected.forEach((n, id) => {
      if (n === 0) assertEquals(seen[id], 0);
      else chiSquare += (seen[id] - n) ** 2 / n;
    });
    // Four degrees of freedom: 18.5 is exceeded once in a thousand.
    assert(chiSquare < 18.5, `chi-square is ${chiSquare}: ${seen} against ${expected}`);
  }
});

Deno.test("the sampler draws all over a flat vocabulary", async () => {
  const rows = Array.from({ length: 300 }, (_, i) => ({
    logits: new Float32Array(1000),
    options: NEUTRAL,
    position: i,
  }));
  const tenths = new Array(10).fill(0);
  for (const { id } of await runSampler(rows)) tenths[Math.floor(id / 100)]++;
  // 30 are expected in each: five deviations.
  assert(tenths.every((n) => n > 4 && n < 56), `${tenths}`);
});

Deno.test("the sampler gives a row the same bits alone and among others", async () => {
  const rows = choices(1000).slice(10, 20).map((options, i) => ({
    logits: testLogits(1000, i),
    options,
    position: i,
  }));
  const together = await runSampler(rows);
  for (const [i, row] of rows.entries()) {
    assertEquals((await runSampler([row]))[0]!.words.slice(0, 4), together[i]!.words.slice(0, 4));
  }
});

Deno.test("the sampler gives ties to the lower id, and lists them in order", async () => {
  const logits = new Float32Array(1000).fill(1);
  logits[7] = 0;
  const options = { ...NEUTRAL, temperature: 0, top: 20 };
  const [first] = await runSampler([{ logits, options, position: 0 }]);
  assertEquals(first!.id, 0);
  assertEquals(
    first!.top.map((t) => t.id),
    Array.from({ length: 20 }, (_, i) => i < 7 ? i : i + 1),
  );
});

Deno.test("the sampler reports a forced id with its own log-probability and does not count it", async () => {
  const logits = testLogits(1000, 1);
  const options = { ...NEUTRAL, counts: counts(1000, 1), presence: 1, top: 3 };
  const [got] = await runSampler([{ logits, options, position: 4, forced: 0 }]);
  const want = sampleNaive(logits, options, { position: 4, forced: 0 });
  assertEquals(got!.id, 0);
  assertAlmostEquals(got!.logprob, want.logprob, 5e-6);
  assertEquals(got!.top.length, 3);
  assertEquals(got!.counts, options.counts);
});

Deno.test("the sampler counts the id it drew, if the slot is penalised", async () => {
  const logits = testLogits(1000, 2);
  const before = counts(1000, 2);
  const rows = [
    { logits, options: { ...NEUTRAL, counts: before, frequency: 0.1 }, position: 1 },
    { logits, options: NEUTRAL, position: 1 },
  ];
  const [penalised, plain] = await runSampler(rows);
  const after = before.slice();
  after[penalised!.id]!++;
  assertEquals(penalised!.counts, after);
  assertEquals(plain!.counts, new Uint32Array(1000));
});

Deno.test("the sampler flags NaN and infinity, also among padding ids, and nothing else", async () => {
  const rows = [NaN, Infinity, -Infinity, 1e30].map((value, i) => {
    const logits = testLogits(1000, i);
    logits[999] = value;
    return { logits, options: { ...NEUTRAL, realVocab: 900, topK: 5, topP: 0.9 }, position: i };
  });
  assertEquals((await runSampler(rows)).map((row) => row.bad), [true, true, false, false]);
});
