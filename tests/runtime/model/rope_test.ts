import { assertAlmostEquals, assertEquals } from "@std/assert";
import { ropeAxis, ropeFrequencies, ropeRow } from "../../../runtime/model/rope.ts";
import type { RopeConfig } from "../../../runtime/model/rope_config.ts";

const plain: RopeConfig = {
  theta: 1e7,
  mropeSection: [11, 11, 10],
  scaling: { type: "default" },
};

const yarn: RopeConfig = {
  ...plain,
  scaling: {
    type: "yarn",
    factor: 4,
    originalMax: 262144,
    betaFast: 32,
    betaSlow: 1,
    attentionFactor: 0.1 * Math.log(4) + 1,
    truncate: true,
  },
};

function assertFrequencies(config: RopeConfig, want: Readonly<Record<number, number>>): void {
  const got = ropeFrequencies(64, config);
  assertEquals(got.length, 32);
  for (const [j, value] of Object.entries(want)) {
    assertAlmostEquals(got[Number(j)]! / value, 1, 1e-6);
  }
}

Deno.test("ropeFrequencies() are powers of theta", () => {
  assertFrequencies(plain, {
    0: 1,
    1: 0.60429639,
    2: 0.365174127,
    10: 0.00649381632,
    31: 1.6548171e-7,
  });
});

Deno.test("ropeFrequencies() blend from 1 to 1 / factor along YaRN's ramp", () => {
  const untouched = ropeFrequencies(64, plain)[13]!;
  assertFrequencies(yarn, {
    13: untouched,
    14: 8.65964e-4,
    15: 4.742398e-4,
    18: 7.217387e-5,
    21: 8.75977e-6,
    22: 3.849816e-6,
    31: 4.137043e-8,
  });
});

Deno.test("ropeAxis() interleaves time, height and width", () => {
  const axes = Array.from({ length: 32 }, (_, j) => ropeAxis(j, [11, 11, 10]));
  assertEquals(axes.slice(0, 6), [0, 1, 2, 0, 1, 2]);
  assertEquals(axes.slice(-3), [2, 0, 1]);
  assertEquals([0, 1, 2].map((axis) => axes.filter((a) => a === axis).length), [11, 11, 10]);
});

Deno.test("ropeAxis() gives what the sections leave to time", () => {
  const axes = Array.from({ length: 8 }, (_, j) => ropeAxis(j, [5, 1, 2]));
  assertEquals(axes, [0, 1, 2, 0, 0, 2, 0, 0]);
});

Deno.test("ropeRow() of three equal positions is ordinary rotation", () => {
  const row = ropeRow(64, plain);
  const frequencies = ropeFrequencies(64, plain);
  for (const position of [0, 1, 1000, 1_000_000]) {
    const out = new Float64Array(64);
    row([position, position, position], out, 0);
    frequencies.forEach((frequency, j) => {
      assertEquals(out[2 * j], Math.cos(position * frequency));
      assertEquals(out[2 * j + 1], Math.sin(position * frequency));
    });
  }
});

Deno.test("ropeRow() turns each pair by its own axis, at the offset and nowhere else", () => {
  const out = new Float32Array(4 + 64 + 4).fill(NaN);
  ropeRow(64, plain)([7, 100, 3000], out, 4);
  const frequencies = ropeFrequencies(64, plain);
  for (const [j, position] of [[0, 7], [1, 100], [2, 3000], [31, 100]] as const) {
    assertEquals(out[4 + 2 * j], Math.fround(Math.cos(position * frequencies[j]!)));
    assertEquals(out[5 + 2 * j], Math.fround(Math.sin(position * frequencies[j]!)));
  }
  assertEquals([...out.subarray(0, 4), ...out.subarray(68)].every(Number.isNaN), true);
  assertEquals(out.subarray(4, 68).some(Number.isNaN), false);
});

Deno.test("ropeRow() multiplies cos and sin by YaRN's attention factor", () => {
  const out = new Float64Array(64);
  ropeRow(64, yarn)([5, 5, 5], out, 0);
  for (let j = 0; j < 32; j++) {
    assertAlmostEquals(Math.hypot(out[2 * j]!, out[2 * j + 1]!), 1.1386294, 1e-7);
  }
});
