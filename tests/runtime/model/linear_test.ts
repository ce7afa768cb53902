import { assertEquals } from "@std/assert";
import { addMatmul } from "../../../runtime/model/linear.ts";
import { matmulNaive } from "../../../shaders/matmul/naive.ts";
import { assertClose } from "../../assert_close.ts";
import { pattern } from "../../pattern.ts";
import { newProgram, place, placeMatrix, read, run } from "../../placed.ts";
import { stepBuffers } from "../../step.ts";

Deno.test("addMatmul() is one dispatch a slice for any rows, and right", async () => {
  const [n, k] = [300, 272];
  const { matrix, dense } = placeMatrix("fp8", { n, k, splits: [128, 256] });
  for (
    const [phase, rows] of [["decode", 1], ["decode", 16], ["prefill", 3], ["prefill", 40]] as const
  ) {
    const x = pattern(rows * k, 3);
    const step = place(stepBuffers([{ rows }]).step);
    const y = place(rows * n);
    const program = newProgram();
    addMatmul(program, phase, { step, x: place(x), y }, matrix);
    assertEquals(await run([program], { rows }), 3, `${phase} ${rows}`);
    // f32 sums of 272 products.
    assertClose(`${phase} ${rows}`, await read(y, rows * n), matmulNaive(x, dense, k), 1e-6);
  }
});

Deno.test("addMatmul() gives the same bits however the matrix is split", async () => {
  const [rows, n, k] = [2, 2100, 64];
  const x = place(pattern(rows * k, 3));
  const step = place(stepBuffers([{ rows }]).step);
  const results: number[][] = [];
  for (const splits of [[], [1024], [128, 2048]]) {
    const { matrix } = placeMatrix("bf16", { n, k, splits });
    const y = place(rows * n);
    const program = newProgram();
    addMatmul(program, "decode", { step, x, y }, matrix);
    await run([program], { rows });
    results.push([...await read(y, rows * n)]);
  }
  assertEquals(results[1], results[0]);
  assertEquals(results[2], results[0]);
});

Deno.test("addMatmul() adds the head's rows to columns of a wider buffer", async () => {
  const [n, k] = [20, 32];
  const { matrix, dense } = placeMatrix("fp8", { n, k, scaleRows: 4 });
  const x = pattern(40 * 48, 4);
  const step = place(stepBuffers([{ rows: 5 }, { rows: 1 }]).step); // two head rows
  const y = place(new Float32Array(2 * 30).fill(1));
  const program = newProgram();
  addMatmul(program, "prefill", {
    step,
    x: place(x),
    y,
    xStride: 48,
    xOffset: 16,
    yStride: 30,
    yOffset: 10,
    accumulate: true,
    head: true,
  }, matrix);
  assertEquals(await run([program], { rows: 40, headRows: 2 }), 1);
  const input = [...x.subarray(16, 48), ...x.subarray(64, 96)];
  const product = matmulNaive(input, dense, k);
  const want = new Float64Array(60).fill(1);
  product.forEach((value, i) => want[Math.floor(i / n) * 30 + 10 + i % n]! += value);
  assertClose("y", await read(y, 60), want, 1e-6);
});

Deno.test("addMatmul() takes the same pipelines for all sizes of a format", () => {
  const step = place(8);
  const add = (n: number, k: number, scaleRows: number) => {
    const program = newProgram();
    const { matrix } = placeMatrix("fp8", { n, k, scaleRows });
    addMatmul(program, "prefill", { step, x: place(16), y: place(16) }, matrix);
    return program.kernels.size;
  };
  assertEquals(add(40, 64, 128), add(72, 32, 16));
});
