import { assert, assertEquals } from "@std/assert";
import { openSnapshot } from "../../weights/mod.ts";
import { complete, greedy, openTestEngine } from "../engine_fixture.ts";
import { loadOracleCase } from "../oracle_case.ts";

const { dir, prompts } = loadOracleCase("tiny_fp8");
const tokens = prompts.find((prompt) => prompt.tokens.length === 64)!.tokens;
const HIDDEN = 64;

/** Bytes of headers: of the snapshot's files what is not of a tensor. */
function headerBytes(): number {
  const snapshot = openSnapshot(dir);
  snapshot.close();
  const files = [...Deno.readDirSync(dir)].filter(({ name }) => name.endsWith(".safetensors"));
  const size = files.reduce((sum, { name }) => sum + Deno.statSync(`${dir}/${name}`).size, 0);
  return size - snapshot.byteLength;
}

Deno.test("every byte read from the files is a header's, the trunk's, an expert's or an embedding row's", async () => {
  const engine = await openTestEngine(dir, { residency: "paged" });
  try {
    const start = engine.counters().values;
    assertEquals(start.fileBytes, headerBytes() + start.trunkBytes!);
    assertEquals([start.bytes, start.prefetchBytes], [0, 0]);
    await complete(engine, greedy(tokens, { maxTokens: 8 }));
    const { misses, bytes, expertBytes, fileBytes, trunkBytes } = engine.counters().values;
    assert(misses! > 0);
    assertEquals(bytes, misses! * expertBytes!);
    const rows = tokens.length + 7;
    assertEquals(fileBytes, headerBytes() + trunkBytes! + bytes! + rows * HIDDEN * 2);
  } finally {
    await engine.close();
  }
});

Deno.test("what is loaded ahead is counted apart from what was asked for", async () => {
  const engine = await openTestEngine(dir, { residency: "paged" });
  try {
    const { expertBytes, fileBytes: before } = engine.counters().values;
    for (const expert of [0, 3, 5]) await engine.runner.pager!.loadAhead(1, expert);
    const { prefetches, prefetchBytes, misses, bytes, fileBytes } = engine.counters().values;
    assertEquals([prefetches, misses, bytes], [3, 0, 0]);
    assertEquals([prefetchBytes, fileBytes! - before!], [3 * expertBytes!, 3 * expertBytes!]);
  } finally {
    await engine.close();
  }
});
