import { assertAlmostEquals, assertEquals } from "@std/assert";
import { openGpu } from "../../runtime/gpu/device.ts";
import { budgetFor } from "./budgets.ts";
import { runPaging } from "./paging.ts";

const FOLDER = `${import.meta.dirname}/../golden/parity/real_heads_fp8`;

Deno.test("budgetFor() of one slot more is that of an expert in each layer more", () => {
  const options = { maxBinding: 2 ** 27, maxSequences: 1, context: 512 };
  const [three, four, five] = [3, 4, 5].map((slots) => budgetFor(FOLDER, slots, options));
  assertEquals(four! - three!, five! - four!);
  assertEquals(four! > three!, true);
});

Deno.test("runPaging() hits as often as the replay of its own routing predicts", async () => {
  const gpu = await openGpu();
  const { maxBinding } = gpu;
  gpu.device.destroy();
  const checkpoint = { name: "golden", folder: FOLDER, vocab: null, realSizes: true };
  const { rows } = await runPaging(checkpoint, { budgets: [50], runs: 1, maxBinding });
  const [row] = rows;
  assertEquals([rows.length, row!.slots], [1, 3]);
  assertAlmostEquals(row!.hitRate, row!.predictedHitRate);
  assertEquals(row!.bytes, row!.predictedBytes);
  assertEquals(row!.hitRate > 0.1 && row!.hitRate < 0.9, true);
});
