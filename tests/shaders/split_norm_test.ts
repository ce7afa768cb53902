import { assertEquals, assertThrows } from "@std/assert";
import { splitNorm, splitNormGrid } from "../../shaders/rms_norm/split_norm.ts";
import { rmsNormNaive } from "../../shaders/rms_norm/naive.ts";
import { assertClose } from "../assert_close.ts";
import { runKernel } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";

const EPSILON = 1e-6;

for (
  const [rows, width, block, parts] of [
    [1, 4, 64, 4],
    [3, 60, 8, 8],
    [2, 256, 64, 4],
    [16, 2048, 64, 32],
    [5, 260, 8, 36],
  ] as const
) {
  Deno.test(`splitNorm() leaves what makes the norm of ${rows} x ${width} in blocks of ${block}`, async () => {
    const x = pattern(rows * width, 1);
    const weight = pattern(width, 2);
    const { step } = stepBuffers([{ rows }]);
    const shape = { width, block, parts };
    const { scaled, squares } = await runKernel(
      splitNorm(shape),
      { step, x, weight, scaled: { out: rows * width }, squares: { out: rows * parts } },
      splitNormGrid(shape, { rows, segments: 1, headRows: 1, maxContext: rows }),
    );
    for (let row = 0; row < rows; row++) {
      const own = Array.from({ length: parts }, (_, part) => squares![row * parts + part]!);
      const ofBlock = (part: number) =>
        x.slice(row * width, (row + 1) * width).slice(part * block, (part + 1) * block)
          .reduce((sum, value) => sum + value * value, 0);
      assertClose("squares", own, own.map((_, part) => ofBlock(part)), 1e-6);
      const factor = 1 / Math.sqrt(own.reduce((sum, part) => sum + part) / width + EPSILON);
      for (let i = row * width; i < (row + 1) * width; i++) scaled![i]! *= factor;
    }
    assertClose("y", scaled!, rmsNormNaive(x, weight, width, EPSILON), 1e-6);
  });
}

Deno.test("splitNorm() refuses blocks that leave columns out", () => {
  assertThrows(() => splitNorm({ width: 260, block: 64, parts: 4 }), RangeError, "260");
  assertEquals(splitNorm({ width: 256, block: 64, parts: 4 }).name, "split_norm");
});
