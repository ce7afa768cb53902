import { assertEquals, assertThrows } from "@std/assert";
import type { ExpectedPrompt } from "./oracle_case.ts";
import { assertParity, compareParity } from "./parity.ts";

/** 101 positions with scores of -1, wide router gaps, and a continuation whose second token is a near-tie. */
function expected(routerMargins: Record<number, number> = {}): ExpectedPrompt {
  const margins = new Float32Array(102).fill(1);
  for (const [at, margin] of Object.entries(routerMargins)) margins[Number(at)] = margin;
  return {
    tokens: Array.from({ length: 102 }, (_, i) => i),
    logprobs: new Float32Array(101).fill(-1),
    routerMargins: margins,
    top: { tokens: [7], logprobs: new Float32Array([-0.5]) },
    greedy: {
      tokens: [7, 8, 9],
      logprobs: new Float32Array(3),
      margins: new Float32Array([0.5, 0.01, 0.5]),
      routerMargins: new Float32Array(3).fill(1),
    },
  };
}

function scores(changes: Record<number, number> = {}): Float64Array {
  const values = new Float64Array(101).fill(-1);
  for (const [at, value] of Object.entries(changes)) values[Number(at)] = value;
  return values;
}

Deno.test("compareParity() passes what is close enough and says how close", () => {
  const report = compareParity([expected()], [{ logprobs: scores({ 4: -1.0075 }) }]);
  assertEquals([report.positions, report.exempt, report.problems.length], [101, 0, 0]);
  assertEquals(Math.round(report.worst * 1e4), 75);
});

Deno.test("compareParity() fails a score that is off, missing or NaN", () => {
  for (const value of [-1.02, -0.98, NaN, -Infinity]) {
    const report = compareParity([expected()], [{ logprobs: scores({ 100: value }) }]);
    assertEquals(report.problems.length, 1, String(value));
  }
  assertEquals(compareParity([expected()], [{ logprobs: [-1] }]).problems.length, 1);
  assertEquals(compareParity([expected()], []).problems, ["prompt 0: no result"]);
});

Deno.test("compareParity() exempts near-ties of the router, and only up to 2 %", () => {
  const off = scores({ 10: -5, 11: -5 });
  const two = compareParity([expected({ 10: 9e-5, 11: 9e-5 })], [{ logprobs: off }]);
  assertEquals([two.exempt, two.problems.length], [2, 0]);
  const wider = [expected({ 10: 9e-4, 11: 9e-4 })];
  const strict = compareParity(wider, [{ logprobs: off }]);
  assertEquals([strict.exempt, strict.problems.length], [0, 2]);
  const rounded = compareParity(wider, [{ logprobs: off }], { routerTie: 1e-3 });
  assertEquals([rounded.exempt, rounded.problems.length], [2, 0]);
  const three = compareParity([expected({ 10: 0, 11: 0, 12: 0 })], [{ logprobs: scores() }]);
  assertEquals(three.problems, ["3 of 101 positions are near-ties, at most 2"]);
});

Deno.test("compareParity() holds greedy tokens to the reference until a near-tie parts them", () => {
  const compare = (greedy: number[], margins: Record<number, number> = {}) =>
    compareParity([expected(margins)], [{ logprobs: scores(), greedy }]);
  assertEquals(compare([7, 8, 9]).greedyCompared, 3);
  assertEquals(compare([6, 8, 9]).problems.length, 1);
  assertEquals(compare([7, 5, 4]).problems.length, 0);
  assertEquals(compare([7, 8, 4]).problems.length, 1);
  assertEquals(compare([7, 8]).problems.length, 1);
  assertEquals(compare([6, 1, 1], { 101: 1e-5 }).problems.length, 0);
});

Deno.test("assertParity() throws with every problem up to a dozen", () => {
  const report = compareParity([expected()], [{ logprobs: scores().fill(0) }]);
  const error = assertThrows(() => assertParity(report), Error, "and 89 more");
  assertEquals(error.message.split("\n").length, 14);
});
