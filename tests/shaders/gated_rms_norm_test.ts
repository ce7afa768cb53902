import { assertEquals, assertThrows } from "@std/assert";
import { gatedRmsNorm, gatedRmsNormGrid } from "../../shaders/gated_rms_norm/gated_rms_norm.ts";
import { gatedRmsNormNaive } from "../../shaders/gated_rms_norm/naive.ts";
import { assertClose } from "../assert_close.ts";
import { runKernel, sharingWays } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import { stepBuffers, type TestSegment } from "../step.ts";

/** More than a workgroup with broadcasts takes. */
const HEADS = 11;

/** Norms `list`'s rows of 11 heads of `width`, the gate behind 8 other columns; returns got and wanted. */
async function run(
  list: readonly TestSegment[],
  width: number,
  mostRows: number,
  broadcast: boolean,
): Promise<{ before: Float32Array; got: Float32Array; want: Float64Array }> {
  const rows = list.reduce((sum, s) => sum + s.rows, 0);
  const values = HEADS * width;
  const stride = values + 8;
  const gate = pattern(rows * stride, 1).map((value) => value * 6);
  const z = Float32Array.from(
    { length: rows * values },
    (_, i) => gate[Math.floor(i / values) * stride + 8 + i % values]!,
  );
  const x = pattern(rows * values, 2);
  const weight = pattern(width, 3);
  const sizes = { heads: HEADS, width, stride, offset: 8, epsilon: 1e-6, mostRows };
  const grid = gatedRmsNormGrid(HEADS, broadcast);
  const got = await runKernel(
    gatedRmsNorm(sizes, broadcast),
    { ...stepBuffers(list), gate, weight, x: x.slice() },
    grid({ rows, segments: list.length, headRows: 0, maxContext: 0 }),
  );
  return { before: x, got: got.x!, want: gatedRmsNormNaive({ x, z, weight }, 1e-6) };
}

for (const broadcast of await sharingWays()) {
  const way = broadcast ? "broadcasts" : "workgroup memory";
  for (const [rows, width] of [[1, 16], [3, 20], [5, 64], [2, 128]] as const) {
    Deno.test(`gatedRmsNorm() matches naive for ${rows} rows of ${HEADS} x ${width}, with ${way}`, async () => {
      const { got, want } = await run([{ rows }], width, 0, broadcast);
      // f32 sums of up to 128 squares.
      assertClose("x", got, want, 1e-6);
    });
  }

  Deno.test(`gatedRmsNorm() leaves the rows of short segments as they are, with ${way}`, async () => {
    const { before, got, want } = await run(
      [{ rows: 2 }, { rows: 5 }, { rows: 4 }],
      16,
      4,
      broadcast,
    );
    const [from, to] = [2 * 16 * HEADS, 7 * 16 * HEADS];
    assertEquals(got.slice(0, from), before.slice(0, from));
    assertClose("x", got.slice(from, to), want.slice(from, to), 1e-6);
    assertEquals(got.slice(to), before.slice(to));
  });
}

Deno.test("gatedRmsNorm() refuses a gate that does not start at a quad", () => {
  const sizes = { heads: 1, width: 16, stride: 20, offset: 2, epsilon: 1e-6, mostRows: 0 };
  assertThrows(() => gatedRmsNorm(sizes, false), RangeError, "column 2 of 20");
});
