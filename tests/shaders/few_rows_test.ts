import { assertEquals } from "@std/assert";
import type { ExpertFormat } from "../../shaders/common/expert_layout.ts";
import { productCut, squareBlock } from "../../shaders/common/products.ts";
import { NONE, STEP } from "../../shaders/common/step.ts";
import {
  type FewCut,
  fewCut,
  fewDown,
  fewDownGrid,
  fewGateUp,
  fewGateUpGrid,
  fewGridOffset,
  fewListBytes,
  fewListSizes,
  type FewRows,
  listFewTiles,
  sumExperts,
  sumExpertsGrid,
} from "../../shaders/moe_experts/few_rows.ts";
import {
  downSumExperts,
  downSumGrid,
  type ExpertShape,
  expertSizes,
} from "../../shaders/moe_experts/moe_experts.ts";
import type { Grid } from "../../shaders/kernel_spec.ts";
import { moeExpertsNaive } from "../../shaders/moe_experts/naive.ts";
import { defaultVariant } from "../../shaders/common/variants.ts";
import { assertClose } from "../assert_close.ts";
import { testExperts } from "../expert_pool.ts";
import { runKernel } from "../gpu.ts";
import { hash, pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";

/** A layer's experts, expert e in slot (e + 1) mod experts, in chunks of so many slots. */
interface Layer {
  readonly format: ExpertFormat;
  readonly hidden: number;
  readonly dff: number;
  readonly experts: number;
  readonly topK: number;
  readonly chunks: readonly number[];
}

const SIZES = { hidden: 144, dff: 80, experts: 7, topK: 3 };
const LAYER: Layer = { ...SIZES, format: "fp8", chunks: [2, 4, 1] };

const slotOf = ({ experts }: Layer, id: number) => (id + 1) % experts;
function shapesOf(layer: Layer, software: boolean): ExpertShape[] {
  let firstSlot = 0;
  return layer.chunks.map((slots, chunk) => {
    const shape: ExpertShape = {
      ...layer,
      maxRows: 16,
      firstSlot,
      slots,
      chunk,
      moreChunks: chunk < layer.chunks.length - 1,
      norm: { parts: 4, epsilon: 1e-5 },
      nextParts: Math.ceil(layer.hidden / squareBlock(defaultVariant(software))),
    };
    firstSlot += slots;
    return shape;
  });
}

/** Different experts for each row; the last rank is always the last expert. */
function chosen(rows: number, { experts, topK }: Layer) {
  const ids = new Uint32Array(rows * topK);
  for (let row = 0; row < rows; row++) {
    const order = Array.from({ length: experts - 1 }, (_, id) => id)
      .sort((a, b) => hash(a, row) - hash(b, row));
    ids.set([...order.slice(0, topK - 1), experts - 1], row * topK);
  }
  return ids;
}

/** Inputs of so many rows. */
function given(layer: Layer, rows: number) {
  const { format, hidden, dff, experts: count } = layer;
  const experts = testExperts(format, { hidden, dff, count });
  const pool = new Uint8Array(experts.stride * count);
  experts.slots.forEach((slot, id) => pool.set(slot, slotOf(layer, id) * experts.stride));
  return {
    experts,
    pool,
    ids: chosen(rows, layer),
    table: Uint32Array.from({ length: count }, (_, id) => slotOf(layer, id)),
    x: pattern(rows * hidden, 7),
    squares: pattern(rows * 4, 8).map((value) => 30 + value),
    weights: pattern(rows * layer.topK, 9),
    h: pattern(rows * hidden, 10),
    norm: pattern(hidden, 11),
  };
}

type Given = ReturnType<typeof given>;

/** The rows of `it` from `row` on. */
function part(it: Given, { hidden, topK }: Layer, row: number, count: number): Given {
  return {
    ...it,
    ids: it.ids.slice(row * topK, (row + count) * topK),
    x: it.x.slice(row * hidden, (row + count) * hidden),
    squares: it.squares.slice(row * 4, (row + count) * 4),
    weights: it.weights.slice(row * topK, (row + count) * topK),
    h: it.h.slice(row * hidden, (row + count) * hidden),
  };
}

/** Runs all chunks and the sum; `act` and `y` come from the last chunk's dispatch, so hold those of all. */
async function run(
  layer: Layer,
  it: Given,
  {
    software = true,
    cut = fewCut(defaultVariant(software)),
    kind = it.ids.length > layer.topK ? "several" : "one",
  }: {
    readonly software?: boolean;
    readonly cut?: FewCut;
    readonly kind?: FewRows | "counted";
  } = {},
) {
  const { format, hidden, dff, topK } = layer;
  const { ids, table, x, squares, weights, h, norm } = it;
  const rows = ids.length / topK;
  const { step } = stepBuffers([{ rows }]);
  const size = { rows, segments: 1, headRows: 0, maxContext: 0 };
  const shapes = shapesOf(layer, software);
  const { list } = await runKernel(listFewTiles(layer), {
    step,
    ids,
    table,
    list: { out: fewListBytes(layer) / 4 },
    sizes: Uint32Array.from(fewListSizes(layer, cut, shapes)),
  }, [1, 1, 1]);
  const counts = new Uint32Array(list!.buffer);
  const gridOf = (rows: FewRows, op: "gateUp" | "down", shape: ExpertShape): Grid => {
    if (rows === "one" || rows === "several") {
      return op === "down" ? fewDownGrid(shape, cut, size) : fewGateUpGrid(shape, cut, size);
    }
    const at = fewGridOffset(shape.chunk!, rows, op) / 4;
    return [counts[at]!, counts[at + 1]!, counts[at + 2]!];
  };
  let act: Float32Array<ArrayBuffer> = new Float32Array(ids.length * dff).fill(NaN);
  let y: Float32Array<ArrayBuffer> = new Float32Array(ids.length * hidden).fill(NaN);
  const { stride } = it.experts;
  for (const shape of shapes) {
    const { firstSlot, slots } = shape;
    const codes = new Uint32Array(
      it.pool.buffer.slice(firstSlot * stride, (firstSlot + slots) * stride),
    );
    const sizes = Uint32Array.from(expertSizes(shape));
    for (const rows of kind === "counted" ? ["alone", "shared"] as const : [kind]) {
      const pairs = rows === "one" ? { ids } : { list: list! };
      const common = { step, ...pairs, table, codes, scales: codes, sizes };
      const gated = await runKernel(
        fewGateUp(format, rows, cut),
        { ...common, x, act, squares },
        gridOf(rows, "gateUp", shape),
      );
      act = gated.act!.subarray(0, ids.length * dff);
      const projected = await runKernel(
        fewDown(format, rows, cut),
        { ...common, x: act, y },
        gridOf(rows, "down", shape),
      );
      y = projected.y!.subarray(0, ids.length * hidden);
    }
  }
  const block = squareBlock(defaultVariant(software));
  const summed = await runKernel(sumExperts(block), {
    step,
    y,
    weights,
    h,
    norm,
    scaled: { out: rows * hidden },
    squares: { out: rows * shapes[0]!.nextParts! },
    sizes: Uint32Array.from(expertSizes(shapes[0]!)),
  }, sumExpertsGrid(layer, block, { ...size, rows: rows + 1 }));
  const { h: sums, scaled, squares: parts } = summed;
  return { list: counts, act, y, h: sums!, scaled: scaled!, squares: parts!, shapes };
}

/** What plain loops make of it. */
function wanted({ hidden, topK }: Layer, it: Given) {
  const x = Float64Array.from(it.x, (value, i) => {
    const row = Math.floor(i / hidden);
    const square = it.squares.slice(row * 4, row * 4 + 4).reduce((sum, part) => sum + part, 0);
    return value / Math.sqrt(square / hidden + 1e-5);
  });
  const y = moeExpertsNaive({ x, ids: it.ids, hidden, topK }, (id) => it.experts.dense[id]!);
  const h = Float64Array.from(it.h);
  y.forEach((value, i) => {
    const pair = Math.floor(i / hidden);
    h[Math.floor(pair / topK) * hidden + i % hidden]! += it.weights[pair]! * value;
  });
  return { y, h };
}

for (const format of ["fp8", "bf16"] as const) {
  for (const software of [true, false]) {
    Deno.test(`few rows of experts match naive: ${format}, cut for a ${software ? "CPU" : "GPU"}`, async () => {
      for (
        const [rows, hidden, dff, experts, topK] of [
          [1, 16, 16, 7, 1],
          [1, 144, 272, 7, 7],
          [2, 272, 16, 7, 2],
          [16, 48, 80, 9, 4],
        ].map((sizes) => sizes as [number, number, number, number, number])
      ) {
        const chunks = [2, 4, experts - 6];
        const layer = { ...LAYER, format, hidden, dff, experts, topK, chunks };
        const it = given(layer, rows);
        const found = await run(layer, it, { software });
        const want = wanted(layer, it);
        const name = `${rows} x ${hidden} x ${dff}, top ${topK} of ${experts}`;
        // f32 sums of up to 272 products, two deep.
        assertClose(name, found.y, want.y, 2e-6);
        assertClose(`h, ${name}`, found.h.subarray(0, want.h.length), want.h, 2e-6);
        const scaled = want.h.map((value, i) => value * (1 + it.norm[i % hidden]!));
        assertClose(`scaled, ${name}`, found.scaled.subarray(0, scaled.length), scaled, 2e-6);
        const block = squareBlock(defaultVariant(software));
        const parts = Math.ceil(hidden / block);
        const squares = new Float64Array(rows * parts);
        want.h.forEach((value, i) =>
          squares[Math.floor(i / hidden) * parts + Math.floor(i % hidden / block)]! += value * value
        );
        assertClose(`squares, ${name}`, found.squares.subarray(0, rows * parts), squares, 4e-6);
      }
    });
  }
}

Deno.test("few rows of experts give a row the same bits alone and among others, whatever the workgroups", async () => {
  const it = given(LAYER, 9);
  const { hidden, topK } = LAYER;
  const all = await run(LAYER, it);
  for (let row = 0; row < 9; row++) {
    const kind = (["one", "several", "counted"] as const)[row % 3]!;
    const one = await run(LAYER, part(it, LAYER, row, 1), { kind });
    assertEquals(one.y, all.y.slice(row * topK * hidden, (row + 1) * topK * hidden));
    assertEquals(one.h.subarray(0, hidden), all.h.slice(row * hidden, (row + 1) * hidden));
  }
  for (const cut of [1, 2].map((blocks) => ({ ...fewCut(defaultVariant(true)), blocks }))) {
    assertEquals((await run(LAYER, it, { cut })).y, all.y);
    assertEquals((await run(LAYER, it, { cut, kind: "counted" })).y, all.y);
  }
});

Deno.test("sumExperts() gives the bits of downSumExperts(), and waits for the last wave", async () => {
  const layer = { ...LAYER, chunks: [7] };
  const it = given(layer, 1);
  for (const software of [true, false]) {
    const { act, y, shapes, h, scaled, squares } = await run(layer, it, { software });
    const { step } = stepBuffers([{ rows: 1 }]);
    const cut = productCut(1, defaultVariant(software));
    const codes = new Uint32Array(it.pool.buffer);
    const sizes = Uint32Array.from(expertSizes(shapes[0]!));
    const { ids, table, weights, norm } = it;
    const room = { scaled: { out: LAYER.hidden }, squares: { out: shapes[0]!.nextParts! } };
    const fused = await runKernel(downSumExperts("fp8", cut, { topK: 3, parallel: false }), {
      ...{ step, ids, table, codes, scales: codes, x: act, weights, norm, sizes, ...room },
      outputs: y,
      h: it.h,
    }, downSumGrid(shapes[0]!, cut, { rows: 1, segments: 1, headRows: 0, maxContext: 0 }));
    assertEquals([fused.h, fused.scaled, fused.squares], [h, scaled, squares]);
    step[STEP.moreWaves] = 1;
    const early = await runKernel(
      sumExperts(squareBlock(defaultVariant(software))),
      { step, y, weights, h: it.h, norm, sizes, ...room },
      [1, 1, 1],
    );
    assertEquals(early.h, it.h);
  }
});

Deno.test("few rows of experts leave pairs without a slot alone", async () => {
  for (const rows of [1, 4]) {
    const it = given(LAYER, rows);
    const missing = it.ids[1]!;
    it.table[missing] = NONE;
    const { y } = await run(LAYER, it);
    const written = Array.from(it.ids, (_, pair) => !Number.isNaN(y[pair * LAYER.hidden]));
    assertEquals(written, Array.from(it.ids, (id) => id !== missing));
  }
});
