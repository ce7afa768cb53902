import { assert, assertEquals } from "@std/assert";
import { foldRouter, Lookahead } from "../../../runtime/experts/lookahead.ts";
import { ReadAhead, type ReadAheadParts } from "../../../runtime/experts/read_ahead.ts";
import { matmulNaive } from "../../../shaders/matmul/naive.ts";
import { moeRouteNaive } from "../../../shaders/moe_route/naive.ts";
import { rmsNormNaive } from "../../../shaders/rms_norm/naive.ts";
import { pattern } from "../../pattern.ts";

const HIDDEN = 24;
const EXPERTS = 10;
const TOP_K = 3;

Deno.test("Lookahead.guess() chooses as the layer's own norm and router do", () => {
  const gain = pattern(HIDDEN, 1);
  const router = pattern((EXPERTS + 1) * HIDDEN, 2);
  const h = pattern(5 * HIDDEN, 3);
  const x = rmsNormNaive(h, gain, HIDDEN, 1e-6);
  const { ids } = moeRouteNaive(matmulNaive(x, router, HIDDEN), { experts: EXPERTS, topK: TOP_K });
  const lookahead = new Lookahead(
    [foldRouter(router.slice(0, EXPERTS * HIDDEN), gain)],
    TOP_K,
  );
  for (let row = 0; row < 5; row++) {
    const guess = lookahead.guess(0, h.slice(row * HIDDEN, (row + 1) * HIDDEN), HIDDEN);
    assertEquals(guess, new Set(ids.slice(row * TOP_K, (row + 1) * TOP_K)));
  }
  assertEquals(lookahead.guess(0, h, HIDDEN), new Set(ids));
});

/** Two layers whose guesses are given, and what was hinted. */
function reader(guess: number[], parts: Partial<ReadAheadParts> = {}) {
  const hinted: string[] = [];
  const lookahead = { layers: 2, guess: () => new Set(guess) } as unknown as Lookahead;
  const ahead = new ReadAhead({
    lookahead,
    hidden: 1,
    isResident: (_layer, expert) => expert >= 8,
    hint: (layer, expert) => hinted.push(`${layer}.${expert}`) && 100,
    load: () => Promise.reject(new Error("not asked for")),
    mode: "auto",
    ...parts,
  });
  return { ahead, hinted };
}

const h = new Float32Array(1);

Deno.test("ReadAhead hints what is guessed and absent, and counts what was needed of it", async () => {
  const { ahead, hinted } = reader([1, 2, 8]);
  ahead.chose(0, [4]); // nothing had been said of layer 0
  await ahead.look(0, [4], h);
  assertEquals(hinted, ["1.1", "1.2"]);
  ahead.chose(1, [2, 3, 9, 2]);
  await ahead.look(1, [2, 3, 9, 2], h); // no layer behind it
  assertEquals(hinted.length, 2);
  assertEquals({ ...ahead.counters }, {
    ...{ guesses: 2, guessesUsed: 1, guessesWanted: 2 },
    ...{ hints: 2, hintBytes: 200 },
  });
  ahead.chose(0, [4]);
  ahead.chose(1, [1, 2]);
  assertEquals(ahead.counters.guessesWanted, 2);
});

Deno.test("ReadAhead at distance 0 hints nothing and counts what the layer's own router finds", async () => {
  const { ahead, hinted } = reader([1, 2, 8], { distance: 0 });
  for (let i = 0; i < 3; i++) await ahead.look(0, [1, 2, 8, 5], h);
  assertEquals({ ...ahead.counters }, {
    ...{ guesses: 0, guessesUsed: 9, guessesWanted: 12 },
    ...{ hints: 0, hintBytes: 0 },
  });
  assertEquals(hinted, []);
});

/** Stops in layer 0 and then in layer 1; returns how many of them were looked at. */
async function run(ahead: ReadAhead, steps: number, chosen: number[]): Promise<number> {
  let looked = 0;
  for (let step = 0; step < steps; step++) {
    if (ahead.wants(1)) {
      looked++;
      await ahead.look(0, [], h);
    }
    ahead.chose(1, chosen);
  }
  return looked;
}

Deno.test("ReadAhead pauses by itself while it foresees little, unless it was forced on", async () => {
  assertEquals(await run(reader([1, 2]).ahead, 5000, [1, 2, 3]), 5000);
  const looked = await run(reader([1, 2]).ahead, 5000, [3, 4]);
  assert(looked >= 128 && looked < 500, `looked ${looked} times in 5000`);
  assertEquals(await run(reader([1, 2], { mode: "on" }).ahead, 5000, [3, 4]), 5000);
});

Deno.test("ReadAhead pauses while the page cache has what it foresees", async () => {
  const warm = { hint: () => 0 };
  const looked = await run(reader([1, 2], warm).ahead, 5000, [1, 2]);
  assert(looked >= 128 && looked < 500, `looked ${looked} times in 5000`);
  assertEquals(await run(reader([1, 2], { ...warm, mode: "on" }).ahead, 5000, [1, 2]), 5000);
});

Deno.test("ReadAhead loads into free slots if asked to, and hints the rest", async () => {
  const loaded: number[] = [];
  const load = (_layer: number, expert: number) =>
    Promise.resolve(expert === 1 && loaded.push(expert) > 0);
  const isResident = (_layer: number, expert: number) => expert >= 8 || loaded.includes(expert);
  const { ahead, hinted } = reader([1, 2, 8], { mode: "slots", load, isResident });
  await ahead.look(0, [], h);
  assertEquals([loaded, hinted], [[1], ["1.2"]]);
  ahead.chose(1, [1, 2, 3, 9]);
  assertEquals({ ...ahead.counters }, {
    ...{ guesses: 2, guessesUsed: 2, guessesWanted: 3 },
    ...{ hints: 1, hintBytes: 100 },
  });
});

Deno.test("ReadAhead leaves prompts alone", () => {
  const { ahead } = reader([1]);
  assertEquals([ahead.wants(4), ahead.wants(5)], [true, false]);
});
