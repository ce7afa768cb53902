import { rmsNorm } from "../../shaders/rms_norm/rms_norm.ts";
import { rmsNormNaive } from "../../shaders/rms_norm/naive.ts";
import { assertClose } from "../assert_close.ts";
import { runKernel } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";

for (const [rows, width] of [[1, 4], [3, 60], [2, 256], [5, 100], [1, 2048]] as const) {
  Deno.test(`rmsNorm() matches naive for ${rows} x ${width}`, async () => {
    const x = pattern(rows * width, 1);
    const weight = pattern(width, 2);
    const { step } = stepBuffers([{ rows }]);
    const got = await runKernel(
      rmsNorm({ width, epsilon: 1e-6 }),
      { step, x, weight, y: { out: rows * width } },
      [rows, 1, 1],
    );
    // f32 sums of up to 2,048 squares.
    assertClose("y", got.y!, rmsNormNaive(x, weight, width, 1e-6), 1e-6);
  });
}
