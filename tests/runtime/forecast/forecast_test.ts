import { assertAlmostEquals, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { memoryInput } from "../../../runtime/forecast/estimate.ts";
import { memberSubject, snapshotSubject } from "../../../runtime/forecast/subject.ts";
import { forecastTable } from "../../../runtime/forecast/table.ts";
import { planInput } from "../../../runtime/plan_input.ts";
import { planMemory } from "../../../runtime/plan.ts";
import { readSnapshotConfig } from "../../../runtime/snapshot.ts";
import { inventory, tensorBytes } from "../../../runtime/synth/inventory.ts";
import { MEMBERS } from "../../../runtime/synth/members.ts";
import { openSnapshot } from "../../../weights/mod.ts";
import { openTestEngine, TEST_OPTIONS } from "../../engine_fixture.ts";
import { ask, requestOf } from "./ask.ts";

const GOLDEN = `${import.meta.dirname}/../../golden/parity`;
const CHOICE = {
  maxBinding: 2 ** 31 - 1,
  maxSequences: 4,
  context: null,
  chunkRows: 512,
  kv: "f32",
} as const;

for (const name of ["tiny_fp8", "fused_bf16", "dense_tied_bf16"]) {
  Deno.test(`planInput() plans ${name} as the engine does`, async () => {
    const folder = `${GOLDEN}/${name}`;
    const engine = await openTestEngine(folder);
    const snapshot = openSnapshot(folder);
    const tensors = [...snapshot.names()].map((tensor) => snapshot.tensor(tensor));
    const { config } = readSnapshotConfig(folder);
    const subject = snapshotSubject(name, config, tensors);
    const input = planInput(config, subject.tensors, { ...TEST_OPTIONS, maxBinding: 2 ** 27 });
    assertEquals(planMemory({ ...input, budget: 2 ** 30 }), engine.runner.plan);
    snapshot.close();
    await engine.close();
  });
}

Deno.test("memberSubject() stands for the whole list of tensors", () => {
  for (const format of ["fp8", "bf16"] as const) {
    const member = MEMBERS["35B-A3B"];
    const { config, tensors } = inventory({ member, format });
    const all = tensors.map((tensor) => ({ ...tensor, byteLength: tensorBytes(tensor) }));
    const [whole, short] = [
      snapshotSubject("whole", config, all),
      memberSubject("35B-A3B", format),
    ];
    assertEquals(
      planInput(short.config, short.tensors, CHOICE),
      planInput(config, all, CHOICE),
    );
    assertEquals(short.activeWeights, whole.activeWeights);
  }
});

Deno.test("forecast() of a card that holds everything is limited by reading and dispatches", () => {
  const { fits, plan, advice, speed } = ask("--device h200");
  assertEquals([fits, plan!.allResident, advice], [true, true, []]);
  assertEquals([speed!.hitRate.value, speed!.hitRate.least], [1, 1]);
  assertEquals([speed!.pagedBytesPerToken.value, speed!.diskRate.value], [0, 0]);
  // 3.62 GB at half of 4.8 TB/s, and 30 x 7 + 10 x 9 + 10 dispatches of 10 us; 10 steps ahead of the host.
  assertAlmostEquals(speed!.tokensPerSecond.value, 1 / (3.617 / 2400 + 0.0031 + 0.00004), 0.1);
  const single = ask("--device h200 --run-ahead 1").speed!.tokensPerSecond;
  assertAlmostEquals(single.value, 1 / (3.617 / 2400 + 0.00309 + 0.0004), 0.1);
});

Deno.test("forecast() pages where the card is too small, and says what everything takes", () => {
  const [small, large] = [ask("--device rtx-3060-12gb"), ask("--device rtx-4090")];
  assertEquals([small.fits, small.plan!.allResident], [true, false]);
  assertEquals(small.plan!.expertSlots < large.plan!.expertSlots, true);
  assertEquals(small.speed!.hitRate.value < large.speed!.hitRate.value, true);
  assertEquals(small.speed!.hitRate.least < small.speed!.hitRate.value, true);
  assertEquals(small.speed!.tokensPerSecond.value < large.speed!.tokensPerSecond.value, true);
  assertMatch(small.advice.at(-1)!, /^everything on the GPU takes 34\.7 GiB, a card of 36\.9 GiB/);
});

Deno.test("forecast() names the smallest budget that works, and it works", () => {
  const line = "--vram 2G --bandwidth 300";
  const tight = ask(line);
  assertEquals([tight.fits, tight.plan, tight.speed], [false, null, null]);
  const input = memoryInput(requestOf(line));
  assertEquals(planMemory({ ...input, budget: tight.least }).expertSlots >= 8, true);
  assertThrows(() => planMemory({ ...input, budget: tight.least - 2 ** 21 }), Error, "--vram");
});

Deno.test("forecast() says which changes make a model fit, and they do", () => {
  const line = "--vram 6G --bandwidth 300 --context 32768";
  const { advice, fits } = ask(line);
  assertEquals(fits, false);
  const flags = advice.slice(1).map((text) => /^(--.*): then it fits/.exec(text)?.[1]);
  assertEquals(flags.includes("--kv f16"), true);
  for (const flag of flags) {
    const [name] = flag!.split(" ");
    const rest = line.split(/ (?=--)/).filter((part) => !part.startsWith(name!)).join(" ");
    assertEquals(ask(`${rest} ${flag}`).fits, true, flag);
  }
  const hopeless = ask("--vram 2G --bandwidth 300");
  assertMatch(hopeless.advice[1]!, /^the smallest card for this is one of .*, with --kv f16/);
  // Contexts that the model has no positions for were once tried too, and refused.
  const demo = `--model ${import.meta.dirname}/../../../weights/demo --bandwidth 300`;
  assertMatch(ask(`${demo} --vram 1K`).advice[1]!, /^the smallest card .* --context 2048/);
});

Deno.test("forecast() says what settings are worth, and asking with one gives the same", () => {
  const { advice, speed } = ask("--device rtx-3060-12gb --ram 32G --context 32768");
  const line = advice.find((text) => text.startsWith("--kv f16"))!;
  const [, slots, rate] = /: (\d+) slots a layer, ([\d.]+) tokens\/s, numbers less exact$/.exec(
    line,
  )!;
  const other = ask("--device rtx-3060-12gb --ram 32G --context 32768 --kv f16");
  assertEquals(other.plan!.expertSlots, Number(slots));
  assertAlmostEquals(other.speed!.tokensPerSecond.value, Number(rate), 0.1);
  assertEquals(Number(rate) > speed!.tokensPerSecond.value, true);
});

Deno.test("forecast() sends a host that cannot cache the experts to the disk", () => {
  const of = (ram: string) => ask(`--device rtx-3060-12gb --ram ${ram}`).speed!;
  assertEquals(of("64G").diskRate.value, 0);
  assertEquals(of("16G").diskRate.value > of("32G").diskRate.value, true);
  assertEquals(of("8G").tokensPerSecond.value < of("64G").tokensPerSecond.value, true);
  // A cache smaller than the slots finds nothing that the slots have not.
  assertAlmostEquals(of("4G").diskRate.value, 1 - of("4G").hitRate.value, 1e-12);
  const { advice } = ask("--device rtx-3060-12gb --ram 16G");
  assertEquals(advice.some((text) => text.startsWith("--ram 48G: ")), true);
});

Deno.test("forecast() lets the device read experts from a host that is known to hold them all", () => {
  const line = "--device rtx-3060-12gb --ram 64G";
  const [host, paged] = [ask(line).speed!, ask(`${line} --residency paged`).speed!];
  assertMatch(host.tokensPerSecond.formula, /389 dispatches \+ .* page in at 25\.0 GB\/s \+/);
  assertMatch(
    paged.tokensPerSecond.formula,
    /309 dispatches .* page in at 4\.00 GB\/s .* stops \+ .* between steps\)$/,
  );
  assertEquals(host.tokensPerSecond.value > paged.tokensPerSecond.value, true);
  // A host whose memory is not known is not taken to have it.
  assertEquals(ask("--device rtx-3060-12gb").speed!.tokensPerSecond, paged.tokensPerSecond);
  assertMatch(ask(line).loadSeconds.formula, /32\.2 GB of experts are copied to the host's memory/);
});

Deno.test("forecast() counts what running ahead takes where it is left over, as the engine does", () => {
  const [ahead, plain] = [ask("--device h200"), ask("--device h200 --run-ahead 1")];
  const rows = (forecast: typeof ahead) => forecast.plan!.rows.map(([purpose]) => purpose);
  assertEquals(rows(ahead).filter((row) => !rows(plain).includes(row)), ["embedding"]);
  assertEquals(ahead.plan!.stateSlots > plain.plan!.stateSlots, true);
  assertEquals(ahead.everything, plain.everything);
  // Experts come first.
  assertEquals(ask("--device rtx-4090").plan, ask("--device rtx-4090 --run-ahead 1").plan);
});

Deno.test("forecast() reads half of a head that is rounded to 8 bits", () => {
  const of = (head: string) => ask(`--device h200 --head ${head}`).speed!.bytesPerToken.value;
  // 248,320 x 2,048 weights of two bytes become one and a scale now and then.
  const saved = (of("stored") - of("int8")) / (248_320 * 2048);
  assertEquals(saved > 0.9 && saved < 1, true, String(saved));
});

Deno.test("forecastTable() answers first, and gives every number a formula", () => {
  const text = forecastTable(ask("--device rtx-3060-12gb --ram 32G --context 32768 --sequences 4"));
  const lines = text.split("\n");
  assertMatch(lines[0]!, /^35B-A3B fp8 on rtx-3060-12gb: 12\.0 GiB at 360 GB\/s, host with 32\.0/);
  assertMatch(
    lines[1]!,
    /It runs, paging: \d+ slots for experts in each layer.* up to 32768 for one, 11264 each for 4 at/,
  );
  assertMatch(lines[2]!, /one answer at about .* 4 together .* each\)/);
  const numbers = lines.filter((line) => /^ {2}(KV|states|experts|tokens|read|paged)/.test(line));
  for (const line of numbers) assertMatch(line, / {2}\S.*[x/(]/);
  assertEquals(text.includes("NaN") || text.includes("undefined"), false);
  assertMatch(text, /one sequence of 32768 beside short ones, or 4 of 11264/);
});
