import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { naiveMultiply, naiveRead } from "../../shaders/probe/naive.ts";
import { chainProbe, multiplyProbe, readProbe } from "../../shaders/probe/probe.ts";
import { runKernel } from "../gpu.ts";
import { integers } from "../pattern.ts";

for (const groups of [1, 3, 64]) {
  Deno.test(`readProbe() reads each of ${groups * 4096} words once`, async () => {
    const data = Uint32Array.from(integers(groups * 4096, 2 ** 31, 5));
    const { spec, grid, outputBytes } = readProbe(data.byteLength);
    const { sums } = await runKernel(spec, { data, sums: { out: outputBytes / 4 } }, grid);
    assertEquals(naiveRead(new Uint32Array(sums!.buffer)), naiveRead(data));
  });
}

Deno.test("readProbe() refuses what is no multiple of a workgroup's part", () => {
  assertThrows(() => readProbe(16 * 1024 + 4), RangeError);
  assertThrows(() => readProbe(0), RangeError);
  assertEquals(readProbe(2 ** 30).grid, [32_768, 2, 1]);
});

Deno.test("multiplyProbe() computes every chain to its end", async () => {
  const { spec, grid, outputBytes, flops } = multiplyProbe(2, 10);
  const { ends } = await runKernel(spec, { ends: { out: outputBytes / 4 } }, grid);
  for (const thread of [0, 1, 63]) {
    assertAlmostEquals(ends![thread]!, naiveMultiply(thread, 10), 1e-3);
    assertAlmostEquals(ends![64 + thread]!, naiveMultiply(thread, 10), 1e-3);
  }
  assertEquals(flops, 2 * 128 * 12 * 40);
});

Deno.test("chainProbe() adds one to every word", async () => {
  const { spec, grid } = chainProbe();
  const words = Uint32Array.from({ length: 64 }, (_, i) => i);
  const result = await runKernel(spec, { words }, grid);
  assertEquals(new Uint32Array(result.words!.buffer), words.map((word) => word + 1));
});
