import { assertEquals, assertThrows } from "@std/assert";
import { type ProductCut, productCut } from "../../shaders/common/products.ts";
import { NONE } from "../../shaders/common/step.ts";
import {
  groupBytes,
  groupPairs,
  groupPairsGrid,
  type GroupShape,
  groupTiles,
  mostTiles,
  TILE_PAIRS,
} from "../../shaders/moe_experts/groups.ts";
import {
  downExperts,
  downGrid,
  type ExpertShape,
  expertSizes,
  gateUpExperts,
  gateUpGrid,
} from "../../shaders/moe_experts/moe_experts.ts";
import { moeExpertsNaive } from "../../shaders/moe_experts/naive.ts";
import { assertClose } from "../assert_close.ts";
import { testExperts } from "../expert_pool.ts";
import { runKernel } from "../gpu.ts";
import { hash, pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";

/** Different experts for each row, in a fixed disorder. */
function chosen(rows: number, { experts, topK }: { experts: number; topK: number }) {
  const ids = new Uint32Array(rows * topK);
  for (let row = 0; row < rows; row++) {
    const order = Array.from({ length: experts }, (_, id) => id)
      .sort((a, b) => hash(a, row) - hash(b, row));
    ids.set(order.slice(0, topK), row * topK);
  }
  return ids;
}

/** The `groups` buffer of these ids. */
async function group(
  shape: ExpertShape,
  ids: Uint32Array<ArrayBuffer>,
  table: Uint32Array<ArrayBuffer>,
): Promise<Uint32Array<ArrayBuffer>> {
  const { step } = stepBuffers([{ rows: ids.length / shape.topK }]);
  const sizes = Uint32Array.from(expertSizes(shape));
  const out = { out: groupBytes(shape) / 4 };
  const counted = await runKernel(
    groupPairs(),
    { step, ids, groups: out, sizes },
    groupPairsGrid(shape),
  );
  const tiled = await runKernel(
    groupTiles(),
    { step, table, groups: counted.groups!, sizes },
    [1, 1, 1],
  );
  return new Uint32Array(tiled.groups!.buffer);
}

const SHAPE: Omit<ExpertShape, keyof GroupShape> = {
  format: "fp8",
  hidden: 16,
  dff: 16,
  firstSlot: 0,
  slots: 1000,
};

Deno.test("groupPairs() and groupTiles() list the pairs of each expert in order and cut them in tiles", async () => {
  for (
    const [rows, experts, topK] of [[1, 1, 1], [40, 3, 2], [33, 20, 5], [70, 100, 8], [300, 2, 2]]
      .map((sizes) => sizes as [number, number, number])
  ) {
    const shape = { ...SHAPE, experts, topK, maxRows: rows + 2 };
    const ids = chosen(rows, shape);
    const table = Uint32Array.from({ length: experts }, (_, id) => id % 5 === 2 ? NONE : id);
    const groups = await group(shape, ids, table);
    const tiles: number[][] = [];
    for (let t = 0; t < groups[0]!; t++) {
      const at = 1 + experts + 3 * t;
      tiles.push([...groups.subarray(at, at + 3)]);
    }
    const want: number[][] = [];
    const firstPair = 1 + experts + 3 * (experts + Math.floor(shape.maxRows * topK / TILE_PAIRS));
    for (let expert = 0; expert < experts; expert++) {
      const pairs = [...ids.keys()].filter((pair) => ids[pair] === expert);
      const list = firstPair + expert * shape.maxRows;
      assertEquals(groups[1 + expert], pairs.length);
      assertEquals([...groups.subarray(list, list + pairs.length)], pairs);
      for (let i = 0; i < pairs.length && table[expert] !== NONE; i += TILE_PAIRS) {
        want.push([expert, i, Math.min(TILE_PAIRS, pairs.length - i)]);
      }
    }
    assertEquals(tiles, want);
    assertEquals(tiles.length <= mostTiles(shape, rows), true);
  }
});

/** Every pair's output, from gate and up to down, with the pool in one chunk. */
async function compute(shape: ExpertShape, cut: ProductCut, rows: number) {
  const experts = testExperts(shape.format, { ...shape, count: shape.experts });
  const pool = new Uint8Array(experts.stride * shape.experts);
  experts.slots.forEach((slot, i) => pool.set(slot, i * experts.stride));
  const codes = new Uint32Array(pool.buffer);
  const ids = chosen(rows, shape);
  const table = Uint32Array.from({ length: shape.experts }, (_, id) => id);
  const x = pattern(rows * shape.hidden, 7);
  const { step } = stepBuffers([{ rows }]);
  const sizes = Uint32Array.from(expertSizes(shape));
  const pairs = cut.tile === 1 ? { ids } : { groups: await group(shape, ids, table) };
  const common = { step, ...pairs, table, codes, scales: codes, sizes };
  const size = { rows, segments: 1, headRows: 0, maxContext: 0 };
  const { act } = await runKernel(
    gateUpExperts(shape.format, cut),
    { ...common, x, act: { out: ids.length * shape.dff }, squares: x },
    gateUpGrid(shape, cut, size),
  );
  const { y } = await runKernel(
    downExperts(shape.format, cut),
    { ...common, x: act!, y: { out: ids.length * shape.hidden } },
    downGrid(shape, cut, size),
  );
  return { y: y!, want: moeExpertsNaive({ x, ids, ...shape }, (id) => experts.dense[id]!) };
}

for (const format of ["fp8", "bf16"] as const) {
  for (const software of [true, false]) {
    for (const tile of [1, 8] as const) {
      const name = `${format}, tiles of ${tile} for a ${software ? "CPU" : "GPU"}`;
      Deno.test(`gateUpExperts() and downExperts() match naive: ${name}`, async () => {
        for (
          const [rows, hidden, dff] of [[1, 16, 16], [11, 144, 80], [3, 272, 48], [2, 32, 272]]
            .map((sizes) => sizes as [number, number, number])
        ) {
          const sizes = { hidden, dff, experts: 4, topK: 3, maxRows: rows };
          const { y, want } = await compute(
            { ...SHAPE, ...sizes, format, slots: 4 },
            productCut(tile, software),
            rows,
          );
          // f32 sums of up to 272 products, two deep.
          assertClose(`${rows} x ${hidden} x ${dff}`, y, want, 2e-6);
        }
      });
    }
  }
}

Deno.test("gateUpExperts() and downExperts() match naive at the real sizes", async () => {
  const sizes = { hidden: 2048, dff: 512, experts: 2, topK: 1, maxRows: 3 };
  for (const tile of [1, 8] as const) {
    const shape = { ...SHAPE, ...sizes, slots: 2 };
    const { y, want } = await compute(shape, productCut(tile, true), 3);
    // f32 sums of up to 2,048 products, two deep.
    assertClose(`tiles of ${tile}`, y, want, 4e-6);
  }
});

Deno.test("gateUpExperts() and downExperts() leave pairs of other chunks and of no slot alone", async () => {
  const shape = { ...SHAPE, experts: 6, topK: 1, maxRows: 6, firstSlot: 2, slots: 2 };
  const table = Uint32Array.of(1, 2, NONE, 3, 4, 0);
  const ids = Uint32Array.of(0, 1, 2, 3, 4, 5);
  const { step } = stepBuffers([{ rows: 6 }]);
  const codes = new Uint32Array(2048);
  const sizes = Uint32Array.from(expertSizes(shape));
  const groups = await group(shape, ids, table);
  for (const tile of [1, 8] as const) {
    const cut = productCut(tile, true);
    const pairs = tile === 1 ? { ids } : { groups };
    const common = { step, ...pairs, table, codes, scales: codes, sizes, x: pattern(6 * 16) };
    const { act } = await runKernel(
      gateUpExperts("fp8", cut),
      { ...common, act: { out: 6 * 16 }, squares: codes },
      [4, 8, 1],
    );
    const { y } = await runKernel(
      downExperts("fp8", cut),
      { ...common, y: { out: 6 * 16 } },
      [4, 8, 1],
    );
    for (const [name, out] of [["act", act!], ["y", y!]] as const) {
      const written = [0, 1, 2, 3, 4, 5].map((pair) => !Number.isNaN(out[pair * 16]));
      assertEquals(written, [false, true, false, true, false, false], `${name}, tiles of ${tile}`);
    }
  }
});

Deno.test("gateUpExperts() takes the tiles that there are, not those of an earlier step", async () => {
  const shape = { ...SHAPE, experts: 3, topK: 1, maxRows: 3, slots: 3 };
  const ids = Uint32Array.of(0, 1, 2);
  const { step } = stepBuffers([{ rows: 3 }]);
  const codes = new Uint32Array(1024);
  const groups = await group(shape, ids, ids);
  groups[0] = 2;
  const { act } = await runKernel(
    gateUpExperts("fp8", productCut(8, true)),
    {
      step,
      groups,
      table: ids,
      codes,
      scales: codes,
      sizes: Uint32Array.from(expertSizes(shape)),
      x: pattern(3 * 16),
      act: { out: 3 * 16 },
      squares: codes,
    },
    [1, 4, 1],
  );
  assertEquals([0, 1, 2].map((pair) => Number.isNaN(act![pair * 16])), [false, false, true]);
});

Deno.test("expertSizes() refuses sizes that are no multiples of 16", () => {
  const shape = { ...SHAPE, experts: 1, topK: 1, maxRows: 1, dff: 24 };
  assertThrows(() => expertSizes(shape), RangeError, "16 x 24");
});
