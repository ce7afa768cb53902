import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { EngineError } from "../../runtime/contract.ts";
import { openSnapshot, WeightsError } from "../../weights/mod.ts";
import { complete, type Completion, greedy, openTestEngine } from "../engine_fixture.ts";
import { loadOracleCase } from "../oracle_case.ts";

const { dir, prompts } = loadOracleCase("tiny_fp8");
const tokens = prompts.find((prompt) => prompt.tokens.length === 64)!.tokens;

/** A copy of the snapshot that may be damaged. */
async function withCopy(use: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    for (const { name } of Deno.readDirSync(dir)) {
      await Deno.copyFile(`${dir}/${name}`, `${folder}/${name}`);
    }
    await use(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Overwrites one byte of a tensor; 0x7f is NaN as an FP8 code. */
function damage(folder: string, tensor: string, value = 0x7f): string {
  const snapshot = openSnapshot(folder);
  const { file, begin } = snapshot.tensor(tensor);
  snapshot.close();
  using handle = Deno.openSync(file, { write: true });
  handle.seekSync(begin, Deno.SeekMode.Start);
  handle.writeSync(Uint8Array.of(value));
  return file;
}

const expertOf = (layer: number, expert: number) =>
  `model.language_model.layers.${layer}.mlp.experts.${expert}.gate_proj.weight`;

Deno.test("a NaN in the trunk is refused at start, naming tensor and file", async () => {
  await withCopy(async (folder) => {
    const tensor = "model.language_model.layers.1.linear_attn.out_proj.weight";
    const file = damage(folder, tensor);
    const error = await assertRejects(() => openTestEngine(folder), WeightsError, tensor);
    assertStringIncludes(error.message, file);
  });
});

for (const residency of ["resident", "paged", "host"] as const) {
  Deno.test(`a NaN in an expert ends the requests that need it and no others, ${residency}`, async () => {
    const whole = await openTestEngine(dir);
    const experts = whole.runner.plan.rows.find(([purpose]) => purpose === "experts")!;
    const half = String(whole.runner.plan.total - experts[2] / 2);
    const vram = residency === "resident" ? "1G" : half;
    const alone: Completion[] = [];
    for (let id = 0; id < 24; id++) {
      alone.push(await complete(whole, greedy([id], { maxTokens: 1 })));
    }
    await whole.close();
    await withCopy(async (folder) => {
      damage(folder, expertOf(0, 3));
      const engine = await openTestEngine(folder, { vram, residency });
      const outcomes = await Promise.all(
        alone.map((_, id) =>
          complete(engine, greedy([id], { maxTokens: 1 })).catch((error) => error)
        ),
      );
      const failed = outcomes.filter((outcome) => outcome instanceof EngineError);
      assert(failed.length > 0 && failed.length < 24, `${failed.length} of 24 failed`);
      for (const error of failed) {
        assertEquals(error.code, "weights");
        assertStringIncludes(error.message, expertOf(0, 3));
      }
      outcomes.forEach((outcome, id) => {
        if (!(outcome instanceof EngineError)) assertEquals(outcome.tokens, alone[id]!.tokens);
      });
      await engine.close();
    });
  });
}

Deno.test("a shard cut short while the server runs ends requests with an error; the engine lives", async () => {
  await withCopy(async (folder) => {
    const whole = await openTestEngine(folder);
    const experts = whole.runner.plan.rows.find(([purpose]) => purpose === "experts")!;
    const vram = String(whole.runner.plan.total - experts[2] * 3 / 4);
    await whole.close();
    const engine = await openTestEngine(folder, { vram });
    const first = await complete(engine, greedy(tokens));
    const sizes = new Map<string, number>();
    for (const { name } of Deno.readDirSync(folder)) {
      if (!name.endsWith(".safetensors")) continue;
      sizes.set(name, Deno.statSync(`${folder}/${name}`).size);
      await Deno.truncate(`${folder}/${name}`, 20_000);
    }
    const error = await assertRejects(() => complete(engine, greedy(tokens)), EngineError);
    assertEquals(error.code, "weights");
    assertStringIncludes(error.message, folder);
    for (const name of sizes.keys()) await Deno.copyFile(`${dir}/${name}`, `${folder}/${name}`);
    assertEquals((await complete(engine, greedy(tokens))).tokens, first.tokens);
    await engine.close();
  });
});
