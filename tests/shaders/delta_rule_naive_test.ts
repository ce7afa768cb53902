import { assertAlmostEquals } from "@std/assert";
import { deltaGatesNaive, splitQkvNaive } from "../../shaders/delta_prepare/naive.ts";
import { deltaRuleChunkedNaive, deltaRuleNaive } from "../../shaders/delta_rule/naive.ts";
import { assertClose } from "../assert_close.ts";
import { pattern } from "../pattern.ts";

Deno.test("deltaRuleNaive() gives the worked example of two rows", () => {
  const shape = { keyHeads: 1, valueHeads: 1, keyDim: 2, valueDim: 2 };
  const first = deltaRuleNaive(
    { q: [1, 0], k: [0.6, 0.8], v: [1, 2], g: [-0.1], beta: [0.5], state: null },
    shape,
  );
  assertClose("state", first.state, [0.3, 0.6, 0.4, 0.8], 1e-15);
  assertClose("out", first.out, [0.3, 0.6], 1e-15);
  const second = deltaRuleNaive(
    { q: [0, 1], k: [1, 0], v: [-1, 0.5], g: [-0.2], beta: [0.25], state: first.state },
    shape,
  );
  [-0.06578558, 0.49342884, 0.32749230, 0.65498460].forEach((want, i) =>
    assertAlmostEquals(second.state[i]!, want, 1e-8)
  );
  [0.3274923, 0.6549846].forEach((want, i) => assertAlmostEquals(second.out[i]!, want, 1e-7));
});

for (
  const [rows, chunk, valueHeads] of [[1, 16, 2], [16, 16, 4], [17, 4, 6], [33, 16, 2]] as const
) {
  Deno.test(`deltaRuleChunkedNaive() equals row by row: ${rows} rows in chunks of ${chunk}`, () => {
    const shape = { keyHeads: 2, valueHeads, keyDim: 8, valueDim: 4 };
    const weights = { aLog: pattern(valueHeads, 3), dtBias: pattern(valueHeads, 4) };
    const input = {
      ...splitQkvNaive(pattern(rows * (32 + 4 * valueHeads), 1), shape),
      ...deltaGatesNaive(pattern(rows * 2 * valueHeads, 2), weights),
      state: pattern(valueHeads * 32, 5),
    };
    const want = deltaRuleNaive(input, shape);
    const got = deltaRuleChunkedNaive(input, shape, chunk);
    assertClose("out", got.out, want.out, 1e-14);
    assertClose("state", got.state, want.state, 1e-14);
  });
}
