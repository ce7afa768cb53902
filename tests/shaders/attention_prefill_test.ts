import { assertEquals } from "@std/assert";
import {
  attentionDecode,
  attentionDecodeGrid,
  attentionMerge,
  attentionMergeGrid,
  attentionSplits,
  type HeadSizes,
} from "../../shaders/attention/decode.ts";
import { attentionPrefill, attentionPrefillGrid } from "../../shaders/attention/prefill.ts";
import { assertClose } from "../assert_close.ts";
import { runKernel } from "../gpu.ts";
import { KV_WAYS, type KvCase, kvCase, PAGE_TOKENS } from "./kv_case.ts";

/** Runs the kernel once per arena, over a grid larger than needed. */
async function prefill(
  sizes: HeadSizes,
  test: KvCase,
  broadcast: boolean,
  arenas: readonly number[] = [0],
) {
  const { step, rows, segments, pages, q, qkv, maxContext } = test;
  const shape = { rows: step[0]! + 40, segments: step[1]!, headRows: 0, maxContext };
  let out = new Float32Array(test.want.length).fill(NaN);
  for (const arena of arenas) {
    const { k, v } = test.arenas[arena]!;
    const got = await runKernel(
      attentionPrefill(sizes, { pageTokens: PAGE_TOKENS, arena, format: test.format }, broadcast),
      { step, rows, segments, pages, q, qkv, k, v, out },
      attentionPrefillGrid(shape, sizes, broadcast),
    );
    out = got.out!;
  }
  return out.subarray(0, test.want.length);
}

const small = { heads: 4, kvHeads: 2, headDim: 64 };

for (const { format, ratio, broadcast, way } of KV_WAYS) {
  for (
    const [rows, context] of [
      [1, 0],
      [2, 30],
      [17, 0],
      [31, 1],
      [32, 0],
      [33, 64],
      [63, 33],
      [64, 0],
      [65, 300],
      [20, 1000],
    ] as const
  ) {
    Deno.test(`attentionPrefill() ${way} matches naive for ${rows} rows after ${context} tokens`, async () => {
      const test = kvCase(small, [{ tokens: context + rows, rows, salt: rows }], { format });
      assertClose("out", await prefill(small, test, broadcast), test.want, ratio);
    });
  }

  for (
    const [heads, kvHeads, headDim] of [
      [1, 1, 16],
      [3, 1, 32],
      [16, 2, 256],
      [5, 1, 128],
      [11, 1, 16],
      [32, 2, 64],
    ] as const
  ) {
    Deno.test(`attentionPrefill() ${way} matches naive for ${heads} heads of ${headDim} on ${kvHeads}`, async () => {
      const sizes = { heads, kvHeads, headDim };
      const test = kvCase(sizes, [{ tokens: 75, rows: 45, salt: heads }], { format });
      assertClose("out", await prefill(sizes, test, broadcast), test.want, ratio);
    });
  }

  Deno.test(`attentionPrefill() ${way} takes several sequences of two arenas at once`, async () => {
    const test = kvCase(small, [
      { tokens: 40, rows: 1, salt: 1, arena: 1 },
      { tokens: 75, rows: 70, salt: 2, arena: 0 },
      { tokens: 100, rows: 33, salt: 3, arena: 1 },
      { tokens: 1, rows: 1, salt: 4, arena: 0 },
    ], { format });
    assertClose("out", await prefill(small, test, broadcast, [0, 1]), test.want, ratio);
  });

  Deno.test(`attentionPrefill() ${way} of a split prompt is that of the whole`, async () => {
    const tokens = 100;
    const whole = kvCase(small, [{ tokens, rows: tokens, salt: 1 }], { format });
    const got = await prefill(small, whole, broadcast);
    const width = small.heads * small.headDim;
    for (const cut of [1, 32, 33, 64, 99]) {
      const first = kvCase(small, [{ tokens: cut, rows: cut, salt: 1 }], { format, scramble: cut });
      const rest = kvCase(small, [{ tokens, rows: tokens - cut, salt: 1 }], {
        format,
        scramble: cut + 1,
      });
      const parts = [
        ...await prefill(small, first, broadcast),
        ...await prefill(small, rest, broadcast),
      ];
      assertEquals(parts.length, tokens * width);
      // Another tile of 32 keys may fall behind the maximum of a row: rounding only.
      assertClose(`cut at ${cut}`, parts, got, 1e-6);
    }
  });

  Deno.test(`attentionPrefill() ${way} agrees with attentionDecode() ${way} row by row`, async () => {
    const test = kvCase(small, [{ tokens: 140, rows: 12, salt: 9 }], { format });
    const { step, rows, segments, pages, q, qkv, maxContext } = test;
    const { k, v } = test.arenas[0]!;
    const splits = attentionSplits(maxContext);
    const shape = { rows: 12, segments: 1, headRows: 0, maxContext };
    const { sums, totals } = await runKernel(
      attentionDecode(small, { pageTokens: PAGE_TOKENS, arena: 0, format, splits }, broadcast),
      {
        step,
        rows,
        segments,
        pages,
        q,
        k,
        v,
        sums: { out: test.want.length * splits },
        totals: { out: 12 * splits * small.heads * 2 },
      },
      attentionDecodeGrid(shape, small, broadcast),
    );
    const { out } = await runKernel(
      attentionMerge(small, { splits }, broadcast),
      { step, rows, qkv, sums: sums!, totals: totals!, out: { out: test.want.length } },
      attentionMergeGrid(shape, small),
    );
    assertClose(
      "out",
      await prefill(small, test, broadcast),
      out!.subarray(0, test.want.length),
      ratio,
    );
  });
}
