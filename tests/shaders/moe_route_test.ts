import { assertEquals, assertThrows } from "@std/assert";
import { NONE, STEP } from "../../shaders/common/step.ts";
import { moeRoute, moeRouteGrid } from "../../shaders/moe_route/moe_route.ts";
import { moeRouteNaive } from "../../shaders/moe_route/naive.ts";
import { assertClose } from "../assert_close.ts";
import { runKernel, sharingWays } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";

interface Routed {
  readonly ids: number[];
  /** The different ids after the chosen ones. */
  readonly sharedIds: number[];
  readonly weights: Float32Array;
  readonly sharedGate: Float32Array;
  readonly stopped: number;
}

interface Case {
  readonly logits: Float32Array<ArrayBuffer>;
  readonly experts: number;
  readonly topK: number;
  readonly layer?: number;
  readonly table?: Uint32Array<ArrayBuffer>;
  readonly stopped?: number;
}

async function route(
  { logits, experts, topK, layer = 0, table, stopped = 0 }: Case,
  broadcast: boolean,
): Promise<Routed> {
  const rows = logits.length / (experts + 1);
  const ranks = topK + 1;
  const { step } = stepBuffers([{ rows }]);
  step[STEP.stopped] = stopped;
  const got = await runKernel(
    moeRoute({ experts, topK }, broadcast),
    {
      step,
      logits,
      table: table ?? new Uint32Array(experts + 1),
      stop: Uint32Array.of(layer + 1),
      ids: { out: rows * ranks },
      weights: { out: rows * ranks },
    },
    moeRouteGrid({ rows: rows + 2, segments: 1, headRows: 0, maxContext: 0 }),
  );
  const ids = new Uint32Array(got.ids!.buffer, 0, rows * ranks);
  const weights = got.weights!.subarray(0, rows * ranks);
  const isShared = (_: number, i: number) => i % ranks === topK;
  const isRouted = (_: number, i: number) => i % ranks < topK;
  return {
    ids: [...ids.filter(isRouted)],
    sharedIds: [...new Set(ids.filter(isShared))],
    weights: weights.filter(isRouted),
    sharedGate: weights.filter(isShared),
    stopped: new Uint32Array(got.step!.buffer)[STEP.stopped]!,
  };
}

for (const broadcast of await sharingWays()) {
  const way = broadcast ? "broadcasts" : "workgroup memory";
  for (
    const [rows, experts, topK] of [
      [1, 1, 1],
      [3, 20, 5],
      [2, 64, 32],
      [5, 65, 2],
      [16, 256, 8],
      [2, 512, 10],
      [1, 1024, 32],
    ] as const
  ) {
    Deno.test(`moeRoute() matches naive for ${rows} rows, top ${topK} of ${experts}, with ${way}`, async () => {
      const logits = pattern(rows * (experts + 1), 1).map((value) => value * 8);
      const got = await route({ logits, experts, topK }, broadcast);
      const want = moeRouteNaive(logits, { experts, topK });
      assertEquals(got.ids, [...want.ids]);
      assertEquals(got.sharedIds, [experts]);
      // WGSL's exp in f32.
      assertClose("weights", got.weights, want.weights, 1e-6);
      assertClose("sharedGate", got.sharedGate, want.sharedGate, 1e-6);
      assertEquals(got.stopped, 0);
    });
  }

  Deno.test(`moeRoute() takes the lower id among equal logits, negative zero included, with ${way}`, async () => {
    const experts = 130;
    const logits = new Float32Array(2 * (experts + 1));
    logits.fill(-3, experts + 1);
    logits[5] = -0;
    for (const id of [129, 3, 70]) logits[experts + 1 + id] = 2;
    const got = await route({ logits, experts, topK: 5 }, broadcast);
    assertEquals(got.ids, [0, 1, 2, 3, 4, 3, 70, 129, 0, 1]);
    assertEquals(got.ids, [...moeRouteNaive(logits, { experts, topK: 5 }).ids]);
  });

  Deno.test(`moeRoute() keeps ids in range where logits are NaN, with ${way}`, async () => {
    const got = await route(
      { logits: new Float32Array(9).fill(NaN), experts: 8, topK: 3 },
      broadcast,
    );
    assertEquals(got.ids, [0, 1, 2]);
  });

  Deno.test(`moeRoute() stops the step at a missing expert, and still routes every row, with ${way}`, async () => {
    const [rows, experts, topK] = [16, 20, 5];
    const logits = pattern(rows * (experts + 1), 3);
    const want = moeRouteNaive(logits, { experts, topK });
    const missing = want.ids[7 * topK + 4]!;
    const table = new Uint32Array(experts + 1);
    table[missing] = NONE;
    const got = await route({ logits, experts, topK, layer: 11, table }, broadcast);
    assertEquals(got.stopped, 12);
    assertEquals(got.ids, [...want.ids]);
  });

  Deno.test(`moeRoute() goes on where an expert that nobody chose is missing, with ${way}`, async () => {
    const logits = Float32Array.of(4, 3, 2, 1, 0);
    const table = Uint32Array.of(0, 1, NONE, NONE, NONE);
    assertEquals((await route({ logits, experts: 4, topK: 2, table }, broadcast)).stopped, 0);
    assertEquals((await route({ logits, experts: 4, topK: 3, table }, broadcast)).stopped, 1);
  });

  Deno.test(`moeRoute() leaves a step alone that another layer stopped, with ${way}`, async () => {
    const logits = Float32Array.of(4, 3, 2, 1, 0);
    const got = await route({ logits, experts: 4, topK: 2, layer: 5, stopped: 3 }, broadcast);
    assertEquals(got.stopped, 3);
    assertEquals([...got.weights].every(Number.isNaN), true);
  });
}

Deno.test("moeRoute() refuses a top-k beyond the experts or the kernel", () => {
  assertThrows(() => moeRoute({ experts: 4, topK: 5 }, false), RangeError, "5 of 4");
  assertThrows(() => moeRoute({ experts: 64, topK: 33 }, true), RangeError, "33 of 64");
});
