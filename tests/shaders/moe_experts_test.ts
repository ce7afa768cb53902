import { assertEquals, assertThrows } from "@std/assert";
import { NONE, STEP } from "../../shaders/common/step.ts";
import { type TileCut, tileCut } from "../../shaders/common/tile.ts";
import { chunkSizes } from "../../shaders/moe_experts/chunks.ts";
import {
  downTiles,
  downTilesGrid,
  gateUpTiles,
  gateUpTilesGrid,
} from "../../shaders/moe_experts/expert_tiles.ts";
import {
  groupBytes,
  groupPairs,
  groupPairsGrid,
  type GroupShape,
  groupTiles,
  mostTiles,
  TILE_PAIRS,
  tileGridOffset,
} from "../../shaders/moe_experts/groups.ts";
import { type ExpertShape, expertSizes } from "../../shaders/moe_experts/moe_experts.ts";
import { moeExpertsNaive } from "../../shaders/moe_experts/naive.ts";
import { assertClose } from "../assert_close.ts";
import { testExperts } from "../expert_pool.ts";
import { runKernel, sharingWays } from "../gpu.ts";
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

/** The `groups` buffer of these ids, for a pool of one chunk unless said. */
async function group(
  shape: ExpertShape,
  ids: Uint32Array<ArrayBuffer>,
  table: Uint32Array<ArrayBuffer>,
  { chunks = [{ firstSlot: 0, slots: 1000 }], stopped = 0 } = {},
): Promise<Uint32Array<ArrayBuffer>> {
  const { step } = stepBuffers([{ rows: ids.length / shape.topK }]);
  step[STEP.stopped] = stopped;
  const sizes = Uint32Array.from(expertSizes(shape));
  const out = { out: groupBytes(shape) / 4 };
  const counted = await runKernel(
    groupPairs(),
    { step, ids, groups: out, sizes },
    groupPairsGrid(shape),
  );
  const tiled = await runKernel(
    groupTiles(),
    {
      step,
      table,
      groups: counted.groups!,
      sizes,
      pool: Uint32Array.from(chunkSizes({ ...shape, groups: { gateUp: 3, down: 5 } }, chunks)),
    },
    [1, 1, 1],
  );
  return new Uint32Array(tiled.groups!.buffer);
}

/** Words of `groups` before the counts. */
const HEAD = 9 * 64;

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
      const at = HEAD + experts + 3 * t;
      tiles.push([...groups.subarray(at, at + 3)]);
    }
    const want: number[][] = [];
    const firstPair = HEAD + experts +
      3 * (experts + Math.floor(shape.maxRows * topK / TILE_PAIRS));
    for (let expert = 0; expert < experts; expert++) {
      const pairs = [...ids.keys()].filter((pair) => ids[pair] === expert);
      const list = firstPair + expert * shape.maxRows;
      assertEquals(groups[HEAD + expert], pairs.length);
      assertEquals([...groups.subarray(list, list + pairs.length)], pairs);
      for (let i = 0; i < pairs.length && table[expert] !== NONE; i += TILE_PAIRS) {
        want.push([expert, i, Math.min(TILE_PAIRS, pairs.length - i)]);
      }
    }
    assertEquals(tiles, want);
    assertEquals(tiles.length <= mostTiles(shape, rows), true);
  }
});

Deno.test("groupTiles() puts the tiles of each chunk side by side and counts their workgroups, none in a step that was stopped", async () => {
  const shape = { ...SHAPE, experts: 5, topK: 1, maxRows: 40 };
  // 18 rows for expert 1, one for each other.
  const ids = Uint32Array.from({ length: 22 }, (_, row) => row < 18 ? 1 : [0, 2, 3, 4][row - 18]!);
  const table = Uint32Array.of(3, 4, NONE, 0, 6);
  const chunks = [{ firstSlot: 0, slots: 4 }, { firstSlot: 4, slots: 2 }, {
    firstSlot: 6,
    slots: 1,
  }];
  for (const stopped of [0, 2]) {
    const groups = await group(shape, ids, table, { chunks, stopped });
    assertEquals([...groups.subarray(0, 3)], stopped ? [0, 0, 0] : [2, 4, 5]);
    const counts = stopped ? [0, 0, 0] : [2, 2, 1];
    for (const [chunk, tiles] of counts.entries()) {
      for (const [op, along] of [["gateUp", 3], ["down", 5]] as const) {
        const at = tileGridOffset(chunk, op) / 4;
        assertEquals([...groups.subarray(at, at + 3)], [tiles, along, 1]);
      }
      assertEquals(tiles <= mostTiles({ ...shape, ...chunks[chunk]! }, 22), true);
    }
    if (stopped) continue;
    const first = HEAD + shape.experts;
    const experts = [0, 1, 2, 3, 4].map((tile) => groups[first + 3 * tile]);
    assertEquals(experts, [0, 3, 1, 1, 4]);
  }
});

/** The cuts for a CPU that runs shaders and for a GPU. */
const CUTS = (await sharingWays()).toReversed().map((broadcast) =>
  tileCut({ software: broadcast, subgroupSize: 8 })
);

/** Some experts with all slots in one chunk, and rows for them. */
function placed(shape: ExpertShape, rows: number) {
  const experts = testExperts(shape.format, { ...shape, count: shape.experts });
  const pool = new Uint8Array(experts.stride * shape.experts);
  experts.slots.forEach((slot, i) => pool.set(slot, i * experts.stride));
  const codes = new Uint32Array(pool.buffer);
  const ids = chosen(rows, shape);
  const table = Uint32Array.from({ length: shape.experts }, (_, id) => id);
  const x = pattern(rows * shape.hidden, 7);
  const { step } = stepBuffers([{ rows }]);
  const sizes = Uint32Array.from(expertSizes(shape));
  const size = { rows, segments: 1, headRows: 0, maxContext: 0 };
  return { experts, ids, x, size, common: { step, table, codes, scales: codes, sizes } };
}

/** Every pair's output, from gate and up to down. */
async function compute(shape: ExpertShape, cut: TileCut, rows: number) {
  const { experts, ids, x, size, common } = placed(shape, rows);
  const groups = await group(shape, ids, common.table);
  const { act } = await runKernel(
    gateUpTiles(shape.format, cut),
    { ...common, groups, x, act: { out: ids.length * shape.dff } },
    gateUpTilesGrid(shape, cut, size),
  );
  const { y } = await runKernel(
    downTiles(shape.format, cut),
    { ...common, groups, x: act!, y: { out: ids.length * shape.hidden } },
    downTilesGrid(shape, cut, size),
  );
  return { y: y!, want: moeExpertsNaive({ x, ids, ...shape }, (id) => experts.dense[id]!) };
}

const SIZES: readonly (readonly [rows: number, hidden: number, dff: number])[] = [
  [1, 16, 16],
  [51, 144, 80],
  [3, 272, 48],
  [22, 32, 272],
];

for (const format of ["fp8", "bf16"] as const) {
  // How x is shared has nothing to do with the format.
  for (const cut of format === "fp8" ? CUTS : CUTS.slice(0, 1)) {
    const name = `${format}, ${JSON.stringify(cut)}`;
    Deno.test(`gateUpTiles() and downTiles() match naive: ${name}`, async () => {
      for (const [rows, hidden, dff] of SIZES) {
        const sizes = { hidden, dff, experts: 4, topK: 3, maxRows: rows };
        const { y, want } = await compute({ ...SHAPE, ...sizes, format, slots: 4 }, cut, rows);
        // f32 sums of up to 272 products, two deep.
        assertClose(`${rows} x ${hidden} x ${dff}`, y, want, 2e-6);
      }
    });
  }
}

Deno.test("gateUpTiles() and downTiles() match naive at the real sizes", async () => {
  const sizes = { hidden: 2048, dff: 512, experts: 2, topK: 1, maxRows: 3 };
  const { y, want } = await compute({ ...SHAPE, ...sizes, slots: 2 }, CUTS[0]!, 3);
  // f32 sums of up to 2,048 products, two deep.
  assertClose("tiles", y, want, 4e-6);
});

Deno.test("the experts' kernels leave pairs of other chunks and of no slot alone", async () => {
  const shape = { ...SHAPE, experts: 6, topK: 1, maxRows: 6, firstSlot: 2, slots: 2, chunk: 1 };
  const chunks = [0, 2, 4].map((firstSlot) => ({ firstSlot, slots: 2 }));
  const table = Uint32Array.of(1, 2, NONE, 3, 4, 0);
  const ids = Uint32Array.of(0, 1, 2, 3, 4, 5);
  const { step } = stepBuffers([{ rows: 6 }]);
  const codes = new Uint32Array(2048);
  const sizes = Uint32Array.from(expertSizes(shape));
  const groups = await group(shape, ids, table, { chunks });
  const common = { step, table, codes, scales: codes, sizes, x: pattern(6 * 16) };
  const out = { out: 6 * 16 };
  const [cut] = CUTS;
  const results = [
    await runKernel(gateUpTiles("fp8", cut!), { ...common, groups, act: out }, [8, 1, 1]),
    await runKernel(downTiles("fp8", cut!), { ...common, groups, y: out }, [8, 1, 1]),
  ];
  for (const [name, values] of results.flatMap(Object.entries<Float32Array>)) {
    const written = [0, 1, 2, 3, 4, 5].map((pair) => !Number.isNaN(values[pair * 16]));
    assertEquals(written, [false, true, false, true, false, false], name);
  }
});

Deno.test("gateUpTiles() takes the tiles that there are, not those of an earlier step", async () => {
  const shape = { ...SHAPE, experts: 3, topK: 1, maxRows: 3, slots: 3 };
  const ids = Uint32Array.of(0, 1, 2);
  const { step } = stepBuffers([{ rows: 3 }]);
  const codes = new Uint32Array(1024);
  const groups = await group(shape, ids, ids);
  groups[0] = 2;
  const { act } = await runKernel(
    gateUpTiles("fp8", CUTS[0]!),
    {
      step,
      groups,
      table: ids,
      codes,
      scales: codes,
      sizes: Uint32Array.from(expertSizes(shape)),
      x: pattern(3 * 16),
      act: { out: 3 * 16 },
    },
    [4, 1, 1],
  );
  assertEquals([0, 1, 2].map((pair) => Number.isNaN(act![pair * 16])), [false, false, true]);
});

Deno.test("expertSizes() refuses sizes that are no multiples of 16", () => {
  const shape = { ...SHAPE, experts: 1, topK: 1, maxRows: 1, dff: 24 };
  assertThrows(() => expertSizes(shape), RangeError, "16 x 24");
});
