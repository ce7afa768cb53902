import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import type { Residency } from "../../runtime/options.ts";
import { PlanError } from "../../runtime/plan.ts";
import { PRODUCT_VARIANTS } from "../../shaders/common/variants.ts";
import { complete, type Completion, greedy, openTestEngine } from "../engine_fixture.ts";
import { loadOracleCase } from "../oracle_case.ts";

const { dir } = loadOracleCase("tiny_fp8");
const LAYERS = 4;
const EXPERTS = 8;

/** One short generation, with the loads and stops that it and the start took. */
async function run(residency: Residency): Promise<{
  readonly result: Completion;
  readonly loads: number;
  readonly stops: number;
  readonly budget: number;
}> {
  const engine = await openTestEngine(dir, { residency });
  try {
    const result = await complete(engine, greedy([7], { maxTokens: 2, logprobs: 3 }));
    const { misses, stops } = engine.counters().values;
    return { result, loads: misses!, stops: stops!, budget: engine.runner.plan.total };
  } finally {
    await engine.close();
  }
}

Deno.test("an engine tells how it runs", async () => {
  const engine = await openTestEngine(dir, { residency: "paged", expertIo: "pread" });
  const { residency, expertSlots, expertIo, kernels } = engine.info;
  const { expertSlots: counted } = engine.counters().values;
  await engine.close();
  assertEquals([residency, expertIo, expertSlots], ["paged", "pread", counted]);
  assert(PRODUCT_VARIANTS.some(({ name }) => name === kernels), kernels);
});

Deno.test("--residency changes when experts are loaded, and no token", async () => {
  const resident = await run("resident");
  assertEquals([resident.loads, resident.stops], [LAYERS * EXPERTS, 0]);
  assertEquals(await run("auto"), resident); // all fit and are small
  const paged = await run("paged");
  assertEquals(paged.result, resident.result);
  assert(paged.loads < LAYERS * EXPERTS / 2 && paged.stops >= LAYERS, `${paged.loads} loads`);
  const error = await assertRejects(
    () => openTestEngine(dir, { residency: "resident", vram: String(resident.budget - 1) }),
    PlanError,
    "leave 7 of 8 slots",
  );
  assertStringIncludes(error.message, "raise --vram");
});
