import { assertEquals, assertThrows } from "@std/assert";
import { KV_FORMATS, type KvFormat } from "../../shaders/common/kv_format.ts";
import { type AttentionSizes, qkPrepareNaive } from "../../shaders/qk_prepare/naive.ts";
import { qkPrepare, qkPrepareGrid } from "../../shaders/qk_prepare/qk_prepare.ts";
import { assertClose } from "../assert_close.ts";
import { runKernel, sharingWays } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";
import { kvElements, PAGE_TOKENS } from "./kv_case.ts";

const PAGES = 6;

/** Unit vectors, so that a swapped cos and sin would show. */
function angles(length: number): Float32Array<ArrayBuffer> {
  return Float32Array.from(
    { length },
    (_, i) => i % 2 ? Math.sin(i >> 1) : Math.cos(i >> 1),
  );
}

/** The rows of `slots` as they lie in the cache, [rows, kvHeads, headDim]. */
function cached(
  elements: Float32Array | Float16Array,
  sizes: AttentionSizes,
  slots: readonly number[],
) {
  const rows: number[] = [];
  for (const slot of slots) {
    for (let head = 0; head < sizes.kvHeads; head++) {
      const at = (Math.floor(slot / PAGE_TOKENS) * sizes.kvHeads + head) * PAGE_TOKENS +
        slot % PAGE_TOKENS;
      rows.push(...elements.subarray(at * sizes.headDim, (at + 1) * sizes.headDim));
    }
  }
  return rows;
}

/** Largest relative RMS of what is stored: f32 after a norm of up to 256 squares; 11 bits of f16. */
const STORED = (await sharingWays()).flatMap((
  broadcast,
): (readonly [format: KvFormat, ratio: number, broadcast: boolean])[] => [
  ["f32", 1e-6, broadcast],
  ["f16", 3e-4, broadcast],
]);

for (const [format, ratio, broadcast] of STORED) {
  const way = `to ${format} with ${broadcast ? "broadcasts" : "workgroup memory"}`;
  for (
    const [heads, kvHeads, headDim, rotaryDim] of [
      [1, 1, 16, 2],
      [3, 1, 32, 8],
      [4, 2, 64, 64],
      [16, 2, 256, 64],
    ] as const
  ) {
    Deno.test(`qkPrepare() ${way} matches naive for ${heads} heads of ${headDim}, ${rotaryDim} rotated`, async () => {
      const sizes = { heads, kvHeads, headDim, rotaryDim, epsilon: 1e-6 };
      // Two sequences: the first crosses a page's border, the second lies in an arena that is not bound.
      const { step, rows, segments } = stepBuffers([
        { rows: 4, context: 30, pageTable: 1 },
        { rows: 2, context: 5, pageTable: 4, arena: 1 },
        { rows: 1, context: 64, pageTable: 3 },
      ]);
      const pages = new Uint32Array([9, 4, 0, 2, 9, 5]);
      const qkv = pattern(7 * 2 * (heads + kvHeads) * headDim, 1);
      const rope = angles(7 * rotaryDim);
      const qNorm = pattern(headDim, 2);
      const kNorm = pattern(headDim, 3);
      const words = PAGES * kvHeads * PAGE_TOKENS * headDim * KV_FORMATS[format].elementBytes / 4;
      const got = await runKernel(
        qkPrepare(sizes, { pageTokens: PAGE_TOKENS, arena: 0, format }, broadcast),
        {
          step,
          rows,
          segments,
          pages,
          rope,
          qkv,
          qNorm,
          kNorm,
          q: { out: 7 * heads * headDim },
          k: { out: words },
          v: { out: words },
        },
        qkPrepareGrid({ rows: 9, segments: 3, headRows: 0, maxContext: 99 }, sizes),
      );
      const want = qkPrepareNaive(qkv, { qNorm, kNorm, rope }, sizes);
      const width = heads * headDim;
      const own = (x: Float32Array | Float64Array, n: number) => [
        ...x.subarray(0, 4 * n),
        ...x.subarray(6 * n, 7 * n),
      ];
      // f32: sums of up to 256 squares.
      assertClose("q", own(got.q!, width), own(want.q, width), 1e-6);
      assertEquals(got.q!.subarray(4 * width, 6 * width).every(Number.isNaN), true);
      const slots = [4 * 32 + 30, 4 * 32 + 31, 0, 1, 5 * 32];
      assertClose(
        "k",
        cached(kvElements(got.k!, format), sizes, slots),
        own(want.k, kvHeads * headDim),
        ratio,
      );
      assertClose(
        "v",
        cached(kvElements(got.v!, format), sizes, slots),
        own(want.v, kvHeads * headDim),
        ratio,
      );
      const written = [...new Uint32Array(got.k!.buffer)].filter((word) => word !== 0x7fc00123);
      assertEquals(written.length, 5 * kvHeads * headDim * KV_FORMATS[format].elementBytes / 4);
    });
  }

  Deno.test(`qkPrepare() ${way} keeps values beyond f16 finite`, async () => {
    const sizes = { heads: 1, kvHeads: 1, headDim: 16, rotaryDim: 8, epsilon: 1e-6 };
    const { step, rows, segments } = stepBuffers([{ rows: 1 }]);
    const qkv = new Float32Array(64).fill(1e6);
    const ones = new Float32Array(16);
    const words = PAGE_TOKENS * 16 * KV_FORMATS[format].elementBytes / 4;
    const got = await runKernel(
      qkPrepare(sizes, { pageTokens: PAGE_TOKENS, arena: 0, format }, broadcast),
      {
        step,
        rows,
        segments,
        pages: new Uint32Array(1),
        rope: angles(4),
        qkv,
        qNorm: ones,
        kNorm: ones,
        q: { out: 16 },
        k: { out: words },
        v: { out: words },
      },
      [1, 2, 1],
    );
    assertEquals(
      cached(kvElements(got.v!, format), sizes, [0]),
      new Array(16).fill({ f32: 1e6, f16: 65504 }[format]),
    );
  });
}

Deno.test("qkPrepare() refuses heads it has no threads for", () => {
  const sizes = { heads: 1, kvHeads: 1, headDim: 48, rotaryDim: 4, epsilon: 1e-6 };
  const cache = { pageTokens: PAGE_TOKENS, arena: 0, format: "f32" } as const;
  assertThrows(() => qkPrepare(sizes, cache, false), RangeError, "heads of 48");
  assertThrows(
    () => qkPrepare({ ...sizes, headDim: 64, heads: 3, kvHeads: 2 }, cache, false),
    RangeError,
    "2 key heads among 3",
  );
});
