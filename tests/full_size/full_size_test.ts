/** The full-size run in small: the same script, the same checks, on a snapshot of kilobytes. @module */
import {
  assert,
  assertEquals,
  assertRejects,
  assertStringIncludes,
  assertThrows,
} from "@std/assert";
import { expertLayout } from "../../shaders/common/expert_layout.ts";
import { OptionError } from "../../runtime/command_line.ts";
import { openSnapshot, WeightsError } from "../../weights/mod.ts";
import { openTestEngine } from "../engine_fixture.ts";
import { loadOracleCase } from "../oracle_case.ts";
import { ask, type Question } from "./ask.ts";
import { type BudgetRun, runBudget } from "./budget_run.ts";
import { readMetrics } from "./metrics.ts";
import { parseFullSizeOptions } from "./options.ts";
import { beyondPlan, budgetTable, difference, otherBytes } from "./report.ts";
import { type ServerProcess, startServer } from "./server_process.ts";

const { dir, prompts } = loadOracleCase("tiny_fp8");
const LAYERS = 4;
const HIDDEN = 64;
const SLOT_BYTES = LAYERS * expertLayout({ hidden: HIDDEN, dff: 32, format: "fp8" }).stride;
const LONG = prompts.find(({ tokens }) => tokens.length === 64)!.tokens;
const ignoreServer = Deno.build.os !== "linux";

const question = (prompt: readonly number[], tokens: number): Question => ({
  prompt,
  tokens,
  alternatives: 2,
});

Deno.test({
  name:
    "two requests at once through HTTP come out the same, to the last bit, with a third of the slots",
  ignore: ignoreServer,
  fn: async () => {
    const questions = [question(LONG, 8), question(LONG.toReversed(), 8)];
    const run = (budget: string) => runBudget(budget, { model: dir, questions, log: () => {} });
    const whole = await run("1G:resident");
    const budget = whole.planned - (whole.slots - 3) * SLOT_BYTES;
    const paged = await run(`${budget}`);
    assertEquals([whole.slots, paged.slots], [8, 3]);
    assertEquals(difference(whole, paged), null);
    for (const { ids, error } of paged.answers) assertEquals([ids.length, error], [8, null]);
    assert(paged.experts.hits > 0 && paged.experts.misses > 3 * LAYERS && paged.experts.stops > 0);
    for (const one of [whole, paged]) checkReads(one);
    for (const one of [whole, paged]) assert(beyondPlan(one) < 400e6, `${beyondPlan(one)} bytes`);
    assertStringIncludes(budgetTable([whole, paged]), "read calls, from outside");
  },
});

/** Every byte is accounted for, and the kernel agrees. */
function checkReads(run: BudgetRun): void {
  const { experts, fileBytes, reads } = run;
  assertEquals(experts.demandBytes, experts.misses * experts.expertBytes);
  assertEquals(experts.prefetchBytes, 0);
  const rows = 2 * (LONG.length + 7);
  assertEquals(otherBytes(run), headerBytes() + rows * HIDDEN * 2);
  assert(reads.called > fileBytes, `${reads.called} bytes by read calls, ${fileBytes} counted`);
}

function headerBytes(): number {
  const snapshot = openSnapshot(dir);
  snapshot.close();
  return shards(dir).reduce((sum, file) => sum + Deno.statSync(file).size, 0) -
    snapshot.byteLength;
}

// A budget that was too small once came out as a stack of this script, below all that the server had said.
Deno.test({
  name: "runBudget() ends in the server's own last line where that refuses the budget",
  ignore: ignoreServer,
  fn: async () => {
    const said: string[] = [];
    const request = {
      model: dir,
      questions: [question(LONG, 1)],
      log: (line: string) => said.push(line),
    };
    const run = () => runBudget("1K", request);
    await assertRejects(run, OptionError, "it said: deltapage: Cannot plan 1.00 KiB");
    assertEquals(said, []);
  },
});

Deno.test("difference() sees a bit, a token and an error", () => {
  const answer = { ids: [1, 2], logprobs: [-1, -2], tops: [{}, {}], error: null };
  const run = (changed: object) =>
    ({ budget: "1G", answers: [{ ...answer, ...changed }] }) as unknown as BudgetRun;
  assertEquals(difference(run({}), run({})), null);
  const float = Math.fround(-2.0000002);
  assertStringIncludes(difference(run({}), run({ logprobs: [-1, float] }))!, "token 1");
  assertStringIncludes(difference(run({}), run({ ids: [1, 3] }))!, "token 1");
  assertStringIncludes(difference(run({}), run({ tops: [{ a: 1 }, {}] }))!, "token 0");
  assertStringIncludes(difference(run({}), run({ ids: [1] }))!, "2 tokens and 1");
  assertStringIncludes(difference(run({}), run({ error: "no" }))!, "1G, request 0: no");
});

/** What happens to a snapshot's files while a stream runs. */
const ACCIDENTS: Readonly<Record<string, (folder: string) => void>> = {
  emptied: (folder) => {
    for (const file of shards(folder)) Deno.truncateSync(file, 0);
  },
  damaged: (folder) => {
    const snapshot = openSnapshot(folder);
    for (const name of [...snapshot.names()].filter((name) => /experts.*weight$/.test(name))) {
      const { file, begin } = snapshot.tensor(name);
      using handle = Deno.openSync(file, { write: true });
      handle.seekSync(begin, Deno.SeekMode.Start);
      handle.writeSync(Uint8Array.of(0x7f)); // NaN as an FP8 code
    }
    snapshot.close();
  },
};

Deno.test({
  name: "shards that are emptied or damaged during a stream end it with an error, not the process",
  ignore: ignoreServer,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    restore(folder);
    for (const name of ["config.json", "model.safetensors.index.json"]) {
      await Deno.copyFile(`${dir}/${name}`, `${folder}/${name}`);
    }
    const server = await startServer(folder, ["--vram", await budgetOf(3)]);
    try {
      await server.ready;
      const sound = await ask(server.base, question(LONG, 8));
      assertEquals([sound.error, sound.ids.length], [null, 8]);
      for (const [name, happen] of Object.entries(ACCIDENTS)) {
        const stream = ask(server.base, question(LONG.toReversed(), 1000));
        await generated(server, 5);
        happen(folder);
        const { error, ids } = await stream;
        assert(error !== null && ids.length < 1000, `${name}: ${ids.length} tokens, ${error}`);
        assertEquals((await fetch(`${server.base}/health`)).status, 200);
        restore(folder);
        assertEquals(await ask(server.base, question(LONG, 8)), sound, name);
      }
      const stream = ask(server.base, question(LONG.toReversed(), 60));
      await generated(server, 5);
      for (const file of shards(folder)) await Deno.remove(file);
      // A file that is open outlives its name.
      const { error, ids } = await stream;
      assertEquals([error, ids.length], [null, 60]);
      assertEquals(await ask(server.base, question(LONG, 8)), sound);
    } finally {
      assertEquals(await server.stop(), 0);
      await Deno.remove(folder, { recursive: true });
    }
  },
});

/** The budget that leaves each layer so many slots. */
async function budgetOf(slots: number): Promise<string> {
  const engine = await openTestEngine(dir, { context: null });
  const { total, expertSlots } = engine.runner.plan;
  await engine.close();
  return String(total - (expertSlots - slots) * SLOT_BYTES);
}

/** Waits until the server has sampled so many tokens more. */
async function generated({ base }: ServerProcess, count: number): Promise<void> {
  const now = async () => (await readMetrics(base)).get("engine_generated_tokens_total")!;
  for (const until = await now() + count; await now() < until;) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Writes the sound bytes into the files that are there, so that a server that has them open sees them. */
function restore(folder: string): void {
  for (const file of shards(dir)) {
    Deno.writeFileSync(`${folder}/${file.slice(dir.length + 1)}`, Deno.readFileSync(file));
  }
}

function shards(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => `${folder}/${name}`)
    .filter((file) => file.endsWith(".safetensors"));
}

Deno.test("parseFullSizeOptions() says what is wrong before any server is started", () => {
  const { vocab, budgets, requests, flags, json } = parseFullSizeOptions([
    ...[dir, "--budgets", "1G:resident,512M", "--", "--chunk", "16"],
  ]);
  assertEquals([budgets, requests, flags, json], [
    ["1G:resident", "512M"],
    2,
    ["--chunk", "16"],
    null,
  ]);
  assert(vocab > 0);
  const wrong: readonly (readonly [string[], string])[] = [
    [[], "found no snapshot"],
    [[dir, "--budgets", "9X"], 'Cannot read --vram: found "9X"'],
    [[dir, "--budgets", "1G:all"], 'Cannot read --residency: found "all"'],
    [[dir, "--requests", "two"], 'Cannot read --requests: found "two"'],
    [[dir, "--json", "/nowhere/x.json"], 'found no folder "/nowhere"'],
    [[dir, "--", "--wrong"], "'--wrong'"],
  ];
  for (const [args, message] of wrong) {
    assertThrows(() => parseFullSizeOptions(args), OptionError, message);
  }
  assertThrows(() => parseFullSizeOptions(["/nowhere"]), WeightsError, "no such folder");
});
