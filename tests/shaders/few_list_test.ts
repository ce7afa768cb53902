import { assertEquals, assertThrows } from "@std/assert";
import {
  type FewCut,
  fewGridOffset,
  fewListBytes,
  fewListSizes,
  listFewTiles,
} from "../../shaders/moe_experts/few_rows.ts";
import { NONE, STEP } from "../../shaders/common/step.ts";
import { runKernel } from "../gpu.ts";
import { stepBuffers } from "../step.ts";

const CUT: FewCut = { lanes: 4, blocks: 2, reduce: "memory" };
const SIZES = { topK: 2, hidden: 272, dff: 80 };

interface Lists {
  /** [rows, topK] of SIZES. */
  readonly ids: readonly number[];
  /** The slot of each expert. */
  readonly table: readonly number[];
  /** Slots of each. */
  readonly chunks: readonly number[];
  readonly stopped?: number;
}

async function listOf({ ids, table, chunks, stopped = 0 }: Lists) {
  const { step } = stepBuffers([{ rows: ids.length / SIZES.topK }]);
  step[STEP.stopped] = stopped;
  const places = chunks.map((slots, i) => {
    const firstSlot = chunks.slice(0, i).reduce((sum, count) => sum + count, 0);
    return { firstSlot, slots };
  });
  const { list } = await runKernel(listFewTiles(SIZES), {
    step,
    ids: Uint32Array.from(ids),
    table: Uint32Array.from(table),
    list: { out: fewListBytes(SIZES) / 4 },
    sizes: Uint32Array.from(fewListSizes(SIZES, CUT, places)),
  }, [1, 1, 1]);
  return new Uint32Array(list!.buffer);
}

Deno.test("listFewTiles() puts the tiles of each chunk side by side, those of one pair first, pairs in order", async () => {
  // The expert in slot 0 is every row's second.
  const list = await listOf({
    ids: [2, 6, 0, 6, 2, 6, 3, 6, 5, 6, 2, 6],
    table: [1, 2, 3, 4, 5, 6, 0],
    chunks: [3, 1, 3],
  });
  // Of each chunk: the end of the tiles of one pair, then of the others.
  assertEquals([...list.subarray(0, 6)], [1, 3, 3, 4, 6, 6]);
  const tiles = Array.from({ length: 6 }, (_, t) => {
    const at = 64 * 18 + 8 * t;
    return [list[at], list[at + 1], ...list.subarray(at + 4, at + 8)];
  });
  assertEquals(tiles, [
    [1, 1, 2, 2, 2, 2],
    [0, 4, 1, 3, 5, 7],
    [0, 2, 9, 11, 11, 11],
    [3, 3, 0, 4, 10, 10],
    [4, 1, 6, 6, 6, 6],
    [6, 1, 8, 8, 8, 8],
  ]);
});

Deno.test("listFewTiles() counts the workgroups of each kernel, none in a step that was stopped", async () => {
  const given = {
    ids: [0, 6, 1, 6, 2, 6],
    table: [NONE, 2, 3, NONE, NONE, NONE, 0],
    chunks: [3, 4],
  };
  for (const stopped of [0, 3]) {
    const list = await listOf({ ...given, stopped });
    const grids = [0, 1].flatMap((chunk) =>
      (["alone", "shared"] as const).flatMap((rows) =>
        (["gateUp", "down"] as const).map((op) => {
          const at = fewGridOffset(chunk, rows, op) / 4;
          return [...list.subarray(at, at + 3)];
        })
      )
    );
    // Slot 2 alone and slot 0 for all rows, then slot 3 alone; 2 workgroups for 80 rows of gate and of up, 3 for 272 of down.
    const tiles = stopped ? [0, 0, 0, 0] : [1, 1, 1, 0];
    assertEquals(grids, tiles.flatMap((count) => [[count, 2, 1], [count, 3, 1]]));
  }
});

Deno.test("fewListSizes() refuses more chunks than there is room for", () => {
  const chunks = Array.from({ length: 65 }, (_, i) => ({ firstSlot: i, slots: 1 }));
  assertThrows(() => fewListSizes(SIZES, CUT, chunks), RangeError, "65 buffers");
});
