import { assertEquals, assertThrows } from "@std/assert";
import { type ProductCut, productCut, squareBlock } from "../../shaders/common/products.ts";
import { STEP } from "../../shaders/common/step.ts";
import { matmulNaive } from "../../shaders/matmul/naive.ts";
import {
  downSumExperts,
  downSumGrid,
  type ExpertShape,
  expertSizes,
} from "../../shaders/moe_experts/moe_experts.ts";
import { defaultVariant } from "../../shaders/common/variants.ts";
import { assertClose } from "../assert_close.ts";
import { testExperts } from "../expert_pool.ts";
import { gpu, runKernel } from "../gpu.ts";
import { integers, pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";

const SHAPE: ExpertShape = {
  format: "fp8",
  hidden: 144,
  dff: 80,
  experts: 6,
  topK: 5,
  nextParts: 18,
  maxRows: 16,
  firstSlot: 0,
  slots: 6,
};

/** Inputs of so many rows, expert e in slot e, and what plain loops make of them. */
function given(shape: ExpertShape, rows: number) {
  const { format, hidden, dff, topK } = shape;
  const experts = testExperts(format, { hidden, dff, count: shape.experts });
  const pool = new Uint8Array(experts.stride * shape.experts);
  experts.slots.forEach((slot, i) => pool.set(slot, i * experts.stride));
  const ids = integers(rows * topK, shape.experts, 3);
  const x = pattern(rows * topK * dff, 4);
  const weights = pattern(rows * topK, 5);
  const h = pattern(rows * hidden, 6);
  const norm = pattern(hidden, 7);
  const want = Float64Array.from(h);
  ids.forEach((id, pair) => {
    const y = matmulNaive(x.subarray(pair * dff, (pair + 1) * dff), experts.dense[id]!.down, dff);
    const row = Math.floor(pair / topK);
    y.forEach((value, i) => want[row * hidden + i]! += weights[pair]! * value);
  });
  return { pool, stride: experts.stride, ids, x, weights, h, norm, want };
}

type Given = ReturnType<typeof given>;

/** Runs one dispatch over the chunk of the pool that `shape` names. */
function run(
  shape: ExpertShape,
  { pool, stride, ids, x, weights, norm }: Given,
  { h, outputs, more = 0, cut = productCut(1, defaultVariant(true)), parallel = false }: {
    readonly h: Float32Array<ArrayBuffer>;
    readonly outputs: Float32Array<ArrayBuffer>;
    readonly more?: number;
    readonly cut?: ProductCut;
    readonly parallel?: boolean;
  },
) {
  const rows = ids.length / shape.topK;
  const { step } = stepBuffers([{ rows }]);
  step[STEP.moreWaves] = more;
  const codes = new Uint32Array(
    pool.buffer.slice(shape.firstSlot * stride, (shape.firstSlot + shape.slots) * stride),
  );
  return runKernel(
    downSumExperts(shape.format, cut, { topK: shape.topK, parallel }),
    {
      step,
      ids,
      table: Uint32Array.from({ length: shape.experts }, (_, id) => id),
      codes,
      scales: codes,
      x,
      weights,
      outputs,
      h,
      norm,
      scaled: { out: rows * shape.hidden },
      squares: { out: rows * shape.nextParts! },
      sizes: Uint32Array.from(expertSizes(shape)),
    },
    downSumGrid(shape, cut, { rows: rows + 1, segments: 1, headRows: 0, maxContext: 0 }),
  );
}

/** What the norm that follows is given: `h` times 1 + norm, and sums of its squares over blocks of columns. */
function nextNorm(h: ArrayLike<number>, norm: Float32Array, block: number) {
  const scaled = Float64Array.from(h, (value, i) => value * (1 + norm[i % norm.length]!));
  const parts = Math.ceil(norm.length / block);
  const squares = new Float64Array(h.length / norm.length * parts);
  Array.from(h).forEach((value, i) => {
    const part = Math.floor(i % norm.length / block);
    squares[Math.floor(i / norm.length) * parts + part]! += value * value;
  });
  return { scaled, squares };
}

const unwritten = (shape: ExpertShape, rows: number) =>
  new Float32Array(rows * shape.topK * shape.hidden).fill(NaN);

for (const format of ["fp8", "bf16"] as const) {
  Deno.test(`downSumExperts() matches naive with any cut, bits free of its threads: ${format}`, async () => {
    for (const [rows, hidden, dff, topK] of [[1, 16, 16, 1], [3, 144, 80, 5], [2, 272, 144, 14]]) {
      const sizes = { ...SHAPE, format, hidden: hidden!, dff: dff!, topK: topK! };
      const it = given(sizes, rows!);
      const outputs = unwritten(sizes, rows!);
      for (const software of [true, false]) {
        const cut = productCut(1, defaultVariant(software));
        const block = squareBlock(defaultVariant(software));
        const shape = { ...sizes, nextParts: Math.ceil(hidden! / block) };
        const [one, many] = [
          await run(shape, it, { h: it.h, outputs, cut }),
          await run(shape, it, { h: it.h, outputs, cut, parallel: true }),
        ];
        // f32 sums of up to 144 products, of which up to 14 are added.
        assertClose(`${rows} x ${hidden} x ${dff}, top ${topK}`, one.h!, it.want, 2e-6);
        assertEquals(one.h, many.h);
        const next = nextNorm(it.want, it.norm, block);
        assertClose("scaled", one.scaled!.subarray(0, it.h.length), next.scaled, 2e-6);
        assertClose("squares", one.squares!.subarray(0, next.squares.length), next.squares, 4e-6);
        assertEquals([one.scaled, one.squares], [many.scaled, many.squares]);
      }
    }
  });
}

Deno.test("downSumExperts() gives the same bits in chunks and in waves as at once", async () => {
  const it = given(SHAPE, 3);
  const once = await run(SHAPE, it, { h: it.h, outputs: unwritten(SHAPE, 3) });
  const first = { ...SHAPE, slots: 2, moreChunks: true };
  const last = { ...SHAPE, firstSlot: 2, slots: 4 };
  const half = await run(first, it, { h: it.h, outputs: unwritten(SHAPE, 3) });
  assertEquals(half.h, it.h);
  assertEquals((await run(last, it, { h: it.h, outputs: half.outputs! })).h, once.h);
  // Waves: the first one's experts are of the last chunk, but the step says that more will come.
  const wave = await run(last, it, { h: it.h, outputs: unwritten(SHAPE, 3), more: 1 });
  assertEquals(wave.h, it.h);
  const rest = { ...SHAPE, slots: 2 };
  assertEquals((await run(rest, it, { h: it.h, outputs: wave.outputs! })).h, once.h);
});

Deno.test("downSumExperts() refuses cuts that it was not written for", () => {
  for (
    const cut of [productCut(4, defaultVariant(true)), {
      ...productCut(1, defaultVariant(true)),
      lanes: 2,
    }]
  ) {
    assertThrows(
      () => downSumExperts("fp8", cut, { topK: 2, parallel: false }),
      RangeError,
      "Cannot sum experts",
    );
  }
});

const { device, subgroups } = await gpu();

Deno.test({
  name: "downSumExperts() matches naive where 8 lanes are added up in subgroups",
  ignore: !subgroups || device.adapterInfo.subgroupMinSize < 8,
  fn: async () => {
    const it = given(SHAPE, 3);
    const cut: ProductCut = { tile: 1, lanes: 8, outputs: 8, reduce: "subgroups" };
    // Threads of other ranks go on while those of a rank whose expert lies elsewhere wait.
    const shape = { ...SHAPE, nextParts: Math.ceil(SHAPE.hidden / 32) };
    for (const parallel of [false, true]) {
      const half = await run(
        { ...shape, slots: 2, moreChunks: true },
        it,
        { h: it.h, outputs: unwritten(SHAPE, 3), cut, parallel },
      );
      const last = { ...shape, firstSlot: 2, slots: 4 };
      const { h } = await run(last, it, { h: it.h, outputs: half.outputs!, cut, parallel });
      assertClose(`parallel: ${parallel}`, h!, it.want, 2e-6);
    }
  },
});
