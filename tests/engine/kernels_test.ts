import { assert, assertEquals, assertRejects } from "@std/assert";
import { OptionError } from "../../runtime/options.ts";
import { gpu } from "../gpu.ts";
import { assertParity, compareParity } from "../parity.ts";
import { loadOracleCase } from "../oracle_case.ts";
import { complete, type Completion, greedy, openTestEngine } from "../engine_fixture.ts";

const { dir, prompts } = loadOracleCase("tiny_fp8", 65);
const { device, subgroups } = await gpu();
const canShuffle = subgroups && device.adapterInfo.subgroupMinSize >= 4;

/** Scores and continues the prompts of the case; of `slots` experts a layer if given, else of all. */
async function run(
  kernels: string,
  slots?: number,
): Promise<{ results: Completion[]; lines: string[]; budget: string }> {
  const lines: string[] = [];
  const open = (vram: string) =>
    openTestEngine(dir, { kernels, vram, context: 256 }, { log: (line) => lines.push(line) });
  let engine = await open("1G");
  const { plan } = engine.runner;
  const [, , experts] = plan.rows.find(([purpose]) => purpose === "experts")!;
  const budget = String(plan.total - experts + experts / plan.expertSlots * (slots ?? 0));
  if (slots !== undefined) {
    await engine.close();
    engine = await open(budget);
    assertEquals(engine.runner.plan.expertSlots, slots);
  }
  try {
    const results = await Promise.all(
      prompts.map(({ tokens, greedy: { tokens: wanted } }) =>
        complete(engine, greedy(tokens, { maxTokens: wanted.length, promptLogprobs: 0 }))
      ),
    );
    return { results, lines, budget };
  } finally {
    await engine.close();
  }
}

const parity = ({ results }: { readonly results: readonly Completion[] }) =>
  assertParity(
    compareParity(
      prompts,
      results.map(({ promptLogprobs, tokens }) => ({ logprobs: promptLogprobs, greedy: tokens })),
    ),
  );

Deno.test("pinned kernels keep parity, have equal bits in any budget, and are named at start", async () => {
  const resident = await run("safe-32x8");
  parity(resident);
  assertEquals(resident.lines.filter((line) => line.startsWith("kernels: ")), [
    "kernels: safe-32x8, as asked for",
  ]);
  const paged = await run("safe-32x8", 3);
  assertEquals(paged.results, resident.results);
});

Deno.test({
  name: "kernels that add up in subgroups keep parity, and have equal bits alone and together",
  ignore: !canShuffle,
  fn: async () => {
    const together = await run("pairs-4x16-subgroups");
    parity(together);
    const engine = await openTestEngine(dir, { kernels: "pairs-4x16-subgroups", context: 256 });
    const { tokens, greedy: { tokens: wanted } } = prompts[0]!;
    const alone = await complete(
      engine,
      greedy(tokens, { maxTokens: wanted.length, promptLogprobs: 0 }),
    );
    await engine.close();
    assertEquals(alone, together.results[0]);
  },
});

Deno.test("another decoder has the bits of the usual one, other lanes have others", async () => {
  const [usual, shift, lanes] = [
    await run("pairs-4x16"),
    await run("shift-4x16"),
    await run("pairs-8x8"),
  ];
  assertEquals(shift.results, usual.results);
  parity(lanes);
  assert(
    lanes.results.some(({ logprobs }, i) => logprobs.join() !== usual.results[i]!.logprobs.join()),
    "the option did not reach the kernels",
  );
});

Deno.test("kernels that the adapter cannot run are refused by name", async () => {
  const few = subgroups && device.adapterInfo.subgroupMinSize >= 32;
  if (few) return;
  await assertRejects(
    () => openTestEngine(dir, { kernels: "pairs-32x8-subgroups" }),
    OptionError,
    'Cannot take --kernels "pairs-32x8-subgroups"',
  );
});
