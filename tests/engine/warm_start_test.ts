import { assert, assertEquals, assertRejects } from "@std/assert";
import type { OpenedEngine } from "../../runtime/open.ts";
import { type EngineOptions, OptionError } from "../../runtime/options.ts";
import { complete, type Completion, greedy, openTestEngine } from "../engine_fixture.ts";
import { loadOracleCase } from "../oracle_case.ts";

const { dir, prompts } = loadOracleCase("tiny_fp8");
const FEW = 5;
/** Short prompts: each layer uses some of its experts, not all. */
const short = [[7], [11, 12], prompts.find(({ tokens }) => tokens.length === 2)!.tokens];

/** The budget that leaves each layer `slots` expert slots. */
async function budgetFor(slots: number): Promise<string> {
  const engine = await openTestEngine(dir);
  const { total, rows, expertSlots } = engine.runner.plan;
  await engine.close();
  const experts = rows.find(([purpose]) => purpose === "experts")![2];
  return String(total - experts + experts / expertSlots * slots);
}

async function withEngine<T>(
  options: Partial<EngineOptions>,
  use: (engine: OpenedEngine) => Promise<T>,
): Promise<T> {
  const engine = await openTestEngine(dir, options);
  try {
    return await use(engine);
  } finally {
    await engine.close();
  }
}

async function generate(engine: OpenedEngine): Promise<Completion[]> {
  const results = [];
  for (const tokens of short) {
    results.push(await complete(engine, greedy(tokens, { maxTokens: 2, logprobs: 2 })));
  }
  return results;
}

/** Waits until the engine has stopped loading ahead. */
async function warmedUp(engine: OpenedEngine): Promise<number> {
  let last = -1;
  for (;;) {
    const { prefetches } = engine.counters().values;
    if (prefetches === last) return last;
    last = prefetches!;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

Deno.test("a run leaves its heat map behind; the next one starts warm and gives the same tokens", async () => {
  const cacheDir = await Deno.makeTempDir();
  const vram = await budgetFor(FEW);
  try {
    const [cold, coldMisses] = await withEngine({ vram, cacheDir }, async (engine) => {
      const results = await generate(engine);
      return [results, engine.counters().values.misses!] as const;
    });
    const file = `${cacheDir}/heat-tiny_fp8.json`;
    const counts: number[][] = JSON.parse(await Deno.readTextFile(file)).counts;
    // Each of the 3 prompts routes its rows and those of the tokens before the last, to 2 experts a layer.
    const rows = short.reduce((sum, tokens) => sum + tokens.length + 1, 0);
    for (const layer of counts) assertEquals(layer.reduce((a, b) => a + b), 2 * rows);

    for (const options of [{ cacheDir }, { warm: file }]) {
      await withEngine({ vram, ...options }, async (engine) => {
        const loaded = await warmedUp(engine);
        assert(loaded > 4 * 2 && loaded <= 4 * FEW, `${loaded} experts were loaded ahead`);
        assertEquals(await generate(engine), cold);
        const { misses, prefetches, prefetchBytes, bytes } = engine.counters().values;
        assert(misses! < coldMisses, `${misses} misses, ${coldMisses} from a cold start`);
        assertEquals(prefetches, loaded);
        assertEquals(prefetchBytes! / prefetches!, misses === 0 ? 0 : bytes! / misses!);
      });
    }
  } finally {
    await Deno.remove(cacheDir, { recursive: true });
  }
});

Deno.test("a heat map that cannot be used is refused where it was asked for, else passed over", async () => {
  const cacheDir = await Deno.makeTempDir();
  try {
    const file = `${cacheDir}/heat-tiny_fp8.json`;
    const missing = { warm: `${cacheDir}/none` };
    await assertRejects(() => openTestEngine(dir, missing), OptionError, "Cannot read --warm");
    await Deno.writeTextFile(
      file,
      '{"format":"deltapage-heat-1","model":"m","layers":1,"experts":1,"counts":[[1]]}',
    );
    await assertRejects(
      () => openTestEngine(dir, { warm: file }),
      OptionError,
      "found 1 layers of 1 experts, wanted 4 of 8",
    );
    const lines: string[] = [];
    const engine = await openTestEngine(dir, { cacheDir }, { log: (line) => lines.push(line) });
    await engine.close();
    assertEquals(lines.filter((line) => line.startsWith("warning: no warm start")).length, 1);
  } finally {
    await Deno.remove(cacheDir, { recursive: true });
  }
});
