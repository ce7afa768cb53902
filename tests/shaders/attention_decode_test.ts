import { assertEquals } from "@std/assert";
import {
  attentionDecode,
  attentionDecodeGrid,
  attentionMerge,
  attentionMergeGrid,
  attentionSplits,
  type HeadSizes,
} from "../../shaders/attention/decode.ts";
import { assertClose } from "../assert_close.ts";
import { runKernel } from "../gpu.ts";
import { KV_WAYS, type KvCase, kvCase, type KvSequence, PAGE_TOKENS } from "./kv_case.ts";

/** Runs both kernels, the first once per arena, with room for `splits`. */
async function decode(
  sizes: HeadSizes,
  test: KvCase,
  broadcast: boolean,
  arenas: readonly number[] = [0],
) {
  const splits = attentionSplits(test.maxContext) + 1;
  const { step, rows, segments, pages, q, qkv, maxContext } = test;
  const count = step[0]!;
  const shape = { rows: count + 1, segments: step[1]!, headRows: 0, maxContext: maxContext + 100 };
  const outputs = count * splits * sizes.heads;
  let sums = new Float32Array(outputs * sizes.headDim).fill(NaN);
  let totals = new Float32Array(outputs * 2).fill(NaN);
  for (const arena of arenas) {
    const { k, v } = test.arenas[arena]!;
    const got = await runKernel(
      attentionDecode(
        sizes,
        { pageTokens: PAGE_TOKENS, arena, format: test.format, splits },
        broadcast,
      ),
      { step, rows, segments, pages, q, k, v, sums, totals },
      attentionDecodeGrid(shape, sizes, broadcast),
    );
    sums = got.sums!;
    totals = got.totals!;
  }
  const { out } = await runKernel(
    attentionMerge(sizes, { splits }, broadcast),
    { step, rows, qkv, sums, totals, out: { out: test.want.length } },
    attentionMergeGrid(shape, sizes),
  );
  return out!.subarray(0, test.want.length);
}

const small = { heads: 4, kvHeads: 2, headDim: 64 };

for (const { format, ratio, broadcast, way } of KV_WAYS) {
  for (const tokens of [1, 31, 32, 33, 63, 64, 65, 300, 1000]) {
    Deno.test(`attentionDecode() ${way} matches naive for a context of ${tokens}`, async () => {
      const test = kvCase(small, [{ tokens, rows: 1, salt: tokens }], { format });
      assertClose("out", await decode(small, test, broadcast), test.want, ratio);
    });
  }

  for (
    const [heads, kvHeads, headDim] of [
      [1, 1, 16],
      [3, 1, 32],
      [16, 2, 256],
      [5, 1, 128],
      [14, 2, 64],
      [11, 1, 16],
      [32, 2, 64],
      [4, 4, 32],
    ] as const
  ) {
    Deno.test(`attentionDecode() ${way} matches naive for ${heads} heads of ${headDim} on ${kvHeads}`, async () => {
      const sizes = { heads, kvHeads, headDim };
      const test = kvCase(sizes, [{ tokens: 165, rows: 1, salt: heads }], { format });
      assertClose("out", await decode(sizes, test, broadcast), test.want, ratio);
    });
  }

  for (const headDim of [16, 128]) {
    Deno.test(`attentionDecode() ${way} widens the splits of more than 256 x 64 tokens, heads of ${headDim}`, async () => {
      const sizes = { heads: 128 / headDim, kvHeads: 1, headDim };
      const test = kvCase(sizes, [{ tokens: 64 * 256 + 100, rows: 1, salt: 1 }], { format });
      // The mean of 16,484 values is small beside its terms.
      assertClose("out", await decode(sizes, test, broadcast), test.want, 1e-5);
    });
  }

  Deno.test(`attentionDecode() ${way} gives a row the same bits alone, among others, and wherever its pages lie`, async () => {
    const sequences: KvSequence[] = [
      { tokens: 70, rows: 1, salt: 1 },
      { tokens: 1, rows: 1, salt: 2 },
      { tokens: 333, rows: 3, salt: 3 },
      { tokens: 129, rows: 1, salt: 4 },
    ];
    const together = kvCase(small, sequences, { format, scramble: 7 });
    const got = await decode(small, together, broadcast);
    assertClose("out", got, together.want, ratio);
    let first = 0;
    const width = small.heads * small.headDim;
    for (const sequence of sequences) {
      for (let r = 0; r < sequence.rows; r++, first++) {
        // A row of several is also the only row of its shorter self.
        const tokens = sequence.tokens - sequence.rows + 1 + r;
        const alone = kvCase(small, [{ ...sequence, tokens, rows: 1 }], {
          format,
          scramble: 20 + first,
        });
        assertEquals(
          await decode(small, alone, broadcast),
          got.slice(first * width, (first + 1) * width),
        );
      }
    }
  });

  Deno.test(`attentionDecode() ${way} takes each sequence from its own arena`, async () => {
    const test = kvCase(small, [
      { tokens: 40, rows: 1, salt: 1, arena: 1 },
      { tokens: 75, rows: 2, salt: 2, arena: 0 },
      { tokens: 100, rows: 1, salt: 3, arena: 1 },
    ], { format });
    assertClose("out", await decode(small, test, broadcast, [0, 1]), test.want, ratio);
  });

  Deno.test(`attentionDecode() ${way} writes nothing in a stopped step`, async () => {
    const test = kvCase(small, [{ tokens: 40, rows: 1, salt: 1 }], { format });
    test.step[3] = 1;
    assertEquals((await decode(small, test, broadcast)).every(Number.isNaN), true);
  });
}
