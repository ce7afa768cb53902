import { assertEquals } from "@std/assert";
import { addCombine, addExperts, addRoute } from "../../../runtime/model/moe.ts";
import {
  moeIdStride,
  type MoeParts,
  moeRanks,
  moeScratch,
  type MoeSizes,
  stopValues,
} from "../../../runtime/model/moe_parts.ts";
import type { Phase } from "../../../runtime/model/parts.ts";
import type { ExpertFormat } from "../../../shaders/common/expert_layout.ts";
import { squareBlock } from "../../../shaders/common/products.ts";
import { matmulNaive } from "../../../shaders/matmul/naive.ts";
import { moeCombineNaive } from "../../../shaders/moe_combine/naive.ts";
import { moeExpertsNaive } from "../../../shaders/moe_experts/naive.ts";
import { moeRouteNaive } from "../../../shaders/moe_route/naive.ts";
import { STEP } from "../../../shaders/common/step.ts";
import { swigluNaive } from "../../../shaders/swiglu/naive.ts";
import { assertClose } from "../../assert_close.ts";
import { placePool, slotTable, type TestExperts, testExperts } from "../../expert_pool.ts";
import { pattern } from "../../pattern.ts";
import { newProgram, place, placeMatrix, read, run, write } from "../../placed.ts";
import { stepBuffers } from "../../step.ts";

const SIZES: MoeSizes = { hidden: 144, experts: 20, topK: 5, dff: 80, sharedDff: 48, layers: 3 };
const LAYER = 1;
const ALL = [20];

/** One block with its input and its dense twin. */
interface Block {
  readonly sizes: MoeSizes;
  readonly x: Float32Array<ArrayBuffer>;
  readonly h: Float32Array<ArrayBuffer>;
  readonly experts: TestExperts;
  readonly format: ExpertFormat;
}

function block(format: ExpertFormat, sizes: MoeSizes, rows: number): Block {
  return {
    sizes,
    format,
    x: pattern(rows * sizes.hidden, 1),
    h: pattern(rows * sizes.hidden, 2),
    experts: testExperts(format, { ...sizes, count: sizes.experts + Number(isPooled(sizes)) }),
  };
}

/** Whether the shared expert is one of the pool's: the last of `Block.experts`. */
function isPooled({ dff, sharedDff }: MoeSizes): boolean {
  return dff === sharedDff;
}

function matrices({ sizes: { hidden, experts, sharedDff }, format }: Block) {
  return {
    router: placeMatrix("bf16", { n: experts + 1, k: hidden }, 50),
    gateUp: placeMatrix(format, { n: 2 * sharedDff, k: hidden, scaleRows: 16 }, 60),
    down: placeMatrix(format, { n: hidden, k: sharedDff }, 70),
  };
}

const EPSILON = 1e-5;
const PARTS = 4;

/** Sums of squares of each row of x, made of the row itself: [rows, PARTS]. */
function squaresOf({ x, sizes: { hidden } }: Block): Float32Array<ArrayBuffer> {
  const rows = x.length / hidden;
  return Float32Array.from(
    { length: rows * PARTS },
    (_, i) => 30 + 10 * x[Math.floor(i / PARTS) * hidden + i % PARTS]!,
  );
}

/** x as the block takes it: in steps of few rows it is still to be divided by the root of the mean square. */
function normed(it: Block): Float64Array {
  const { x, sizes: { hidden } } = it;
  const squares = squaresOf(it);
  return Float64Array.from(x, (value, i) => {
    const at = Math.floor(i / hidden) * PARTS;
    const sum = squares.slice(at, at + PARTS).reduce((a, b) => a + b);
    return x.length / hidden > 16 ? value : value / Math.sqrt(sum / hidden + EPSILON);
  });
}

function naive(it: Block): { ids: Uint32Array; h: Float64Array } {
  const { router, gateUp, down } = matrices(it);
  const { sizes } = it;
  const x = normed(it);
  const rows = x.length / sizes.hidden;
  const { ids, ...routes } = moeRouteNaive(matmulNaive(x, router.dense, sizes.hidden), sizes);
  const shared = isPooled(sizes)
    ? moeExpertsNaive(
      { x, ids: Array(rows).fill(sizes.experts), hidden: sizes.hidden, topK: 1 },
      (id) => it.experts.dense[id]!,
    )
    : matmulNaive(
      swigluNaive(matmulNaive(x, gateUp.dense, sizes.hidden), sizes.sharedDff),
      down.dense,
      sizes.sharedDff,
    );
  const routed = moeExpertsNaive({ x, ids, ...sizes }, (id) => it.experts.dense[id]!);
  return { ids, h: moeCombineNaive(it.h, { routed, shared, ...routes }, sizes) };
}

function placeParts(it: Block, chunkSlots: readonly number[], maxRows: number): MoeParts {
  const { router, gateUp, down } = matrices(it);
  const rows = it.x.length / it.sizes.hidden;
  const scratch = Object.fromEntries(
    Object.entries(moeScratch(it.sizes, maxRows)).map(([name, bytes]) => [name, place(bytes / 4)]),
  );
  write(scratch.stopValues!, stopValues(it.sizes.layers));
  const next = {
    weight: place(pattern(it.sizes.hidden, 9)),
    scaled: place(it.x.length),
    squares: place(it.x.length),
    width: it.sizes.hidden,
    epsilon: EPSILON,
  };
  const { variant } = newProgram().kernels;
  return {
    sizes: it.sizes,
    maxRows,
    layer: LAYER,
    step: place(stepBuffers([{ rows }]).step),
    scratch,
    weights: {
      router: router.matrix,
      shared: isPooled(it.sizes) ? null : { gateUp: gateUp.matrix, down: down.matrix },
      pool: placePool(it.experts, chunkSlots, isPooled(it.sizes)),
    },
    x: place(it.x),
    norm: { ...next, squares: place(squaresOf(it)), width: PARTS * squareBlock(variant) },
    h: place(it.h),
    next,
  };
}

function programs(phase: Phase, parts: MoeParts, software?: boolean) {
  const [route, experts, combine] = [
    newProgram(software),
    newProgram(software),
    newProgram(software),
  ];
  addRoute(route, phase, parts);
  addExperts(experts, phase, parts);
  addCombine(combine, phase, parts);
  return { route, experts, combine };
}

/** The block's new residual stream with all experts resident. */
async function whole(
  it: Block,
  phase: Phase,
  chunkSlots: readonly number[],
  software?: boolean,
): Promise<number[]> {
  const rows = it.x.length / it.sizes.hidden;
  const parts = placeParts(it, chunkSlots, rows + 3);
  const { route, experts, combine } = programs(phase, parts, software);
  await run([route, experts, combine], { rows });
  return [...await read(parts.h, it.h.length)];
}

async function idsOf(parts: MoeParts, rows: number): Promise<number[]> {
  const { sizes, maxRows, layer, scratch } = parts;
  const first = layer * moeIdStride(sizes, maxRows);
  const ranks = moeRanks(sizes);
  const words = await read(scratch.ids!, first + rows * ranks);
  const ids = new Uint32Array(words.buffer).subarray(first, words.length);
  return [...ids.filter((_, i) => i % ranks < sizes.topK)];
}

/** Its shared expert is laid out like the routed ones. */
const WIDE: MoeSizes = { hidden: 320, experts: 33, topK: 8, dff: 192, sharedDff: 192, layers: 2 };

for (const format of ["fp8", "bf16"] as const) {
  for (
    const [phase, rows, sizes] of [
      ["decode", 1, SIZES],
      ["decode", 16, WIDE],
      ["prefill", 5, SIZES],
      ["prefill", 17, WIDE],
      ["prefill", 70, { ...SIZES, experts: 3, topK: 2 }],
    ] as const
  ) {
    Deno.test(`addRoute(), addExperts(), addCombine() match naive: ${format}, ${phase} of ${rows} rows, top ${sizes.topK} of ${sizes.experts}`, async () => {
      const it = block(format, sizes, rows);
      // f32 sums of up to 320 products, three deep; logits of about 10 in f32 through exp.
      assertClose("h", await whole(it, phase, [sizes.experts]), naive(it).h, 4e-6);
    });
  }
}

Deno.test("a mixture of experts gives a decoded row the same bits alone and among others", async () => {
  const it = block("fp8", SIZES, 16);
  const together = await whole(it, "decode", ALL);
  for (const row of [0, 6, 15]) {
    const [from, to] = [row * SIZES.hidden, (row + 1) * SIZES.hidden];
    const one = { ...it, x: it.x.slice(from, to), h: it.h.slice(from, to) };
    assertEquals(await whole(one, "decode", ALL), together.slice(from, to));
    assertEquals(await whole(one, "prefill", ALL), together.slice(from, to));
  }
});

Deno.test("addExperts() gives the same bits from one chunk of the pool and from three", async () => {
  for (const [phase, rows] of [["decode", 1], ["decode", 16], ["prefill", 40]] as const) {
    const it = block("fp8", SIZES, rows);
    const want = await whole(it, phase, ALL);
    for (const software of [true, false]) {
      const name = `${phase} of ${rows}, for a ${software ? "CPU" : "GPU"}`;
      assertEquals(await whole(it, phase, [1, 12, 7], software), want, name);
    }
  }
});

Deno.test("addExperts() gives the same bits in waves as at once, and leaves other pairs alone", async () => {
  for (const [phase, rows] of [["decode", 16], ["prefill", 40]] as const) {
    const it = block("fp8", SIZES, rows);
    const want = await whole(it, phase, ALL);
    const parts = placeParts(it, [9, 11], rows);
    const { route, experts, combine } = programs(phase, parts);
    await run([route], { rows });
    const ids = await idsOf(parts, rows);
    const first = (id: number) => id % 3 === 1;
    write(parts.weights.pool.table, slotTable(SIZES.experts, first));
    const { step } = stepBuffers([{ rows }]);
    step[STEP.moreWaves] = 1;
    write(parts.step, step);
    await run([experts], { rows });
    const half = await read(parts.scratch.expertOut!, rows * moeRanks(SIZES) * SIZES.hidden);
    ids.forEach((id, i) => {
      const pair = i + Math.floor(i / SIZES.topK);
      const out = half.subarray(pair * SIZES.hidden, (pair + 1) * SIZES.hidden);
      assertEquals(out.every(Number.isNaN), !first(id), `${phase}, pair ${pair}`);
    });
    step[STEP.moreWaves] = 0;
    write(parts.step, step);
    write(parts.weights.pool.table, slotTable(SIZES.experts, (id) => !first(id)));
    await run([experts, combine], { rows });
    assertEquals([...await read(parts.h, want.length)], want, phase);
  }
});

Deno.test("addRoute() stops the layer at a missing expert; the host brings it in and goes on", async () => {
  for (const [phase, rows] of [["decode", 1], ["decode", 4], ["prefill", 20]] as const) {
    const it = block("fp8", SIZES, rows);
    const want = await whole(it, phase, ALL);
    const { ids } = naive(it);
    for (const chunks of [ALL, [9, 11]]) {
      const parts = placeParts(it, chunks, rows);
      const { route, experts, combine } = programs(phase, parts);
      // What a step before leaves behind, such as its lists and grids, is of no use to this one.
      await run([route, experts, combine], { rows });
      write(parts.h, it.h);
      write(parts.weights.pool.table, slotTable(SIZES.experts, (id) => id !== ids[3]));
      await run([route, experts, combine], { rows });
      assertEquals(new Uint32Array((await read(parts.step, 4)).buffer)[STEP.stopped], LAYER + 1);
      assertEquals([...await read(parts.h, it.h.length)], [...it.h], "nothing is added yet");
      assertEquals(await idsOf(parts, rows), [...ids]);
      write(parts.weights.pool.table, slotTable(SIZES.experts, () => true));
      write(parts.step, stepBuffers([{ rows }]).step);
      await run([experts, combine], { rows });
      assertEquals([...await read(parts.h, it.h.length)], want, phase);
    }
  }
});

Deno.test("a mixture of experts is 4 dispatches a decoded row, 7 with another kind of shared expert", async () => {
  for (const [sizes, count] of [[WIDE, 4], [SIZES, 7]] as const) {
    const parts = placeParts(block("fp8", sizes, 1), [sizes.experts], 16);
    const { route, experts, combine } = programs("decode", parts);
    assertEquals(await run([route, experts, combine], { rows: 1 }), count);
  }
});
