import { assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { DEVICES } from "../../../runtime/forecast/devices.ts";
import { forecast, interpolate } from "../../../runtime/forecast/forecast.ts";
import { parseForecastOptions } from "../../../runtime/forecast/options.ts";
import { planInput } from "../../../runtime/plan_input.ts";
import { planMemory } from "../../../runtime/plan.ts";
import { readSnapshotConfig } from "../../../runtime/snapshot.ts";
import { openSnapshot } from "../../../weights/mod.ts";
import { openTestEngine, TEST_OPTIONS } from "../../engine_fixture.ts";

const GOLDEN = `${import.meta.dirname}/../../golden/parity`;

function of(line: string) {
  const { config, tensors, choice, device } = parseForecastOptions(line.split(" "));
  return forecast(config, planInput(config, tensors, choice), device);
}

for (const name of ["tiny_fp8", "fused_bf16", "dense_tied_bf16"]) {
  Deno.test(`planInput() plans ${name} as the engine does`, async () => {
    const folder = `${GOLDEN}/${name}`;
    const engine = await openTestEngine(folder);
    const snapshot = openSnapshot(folder);
    const tensors = [...snapshot.names()].map((tensor) => snapshot.tensor(tensor));
    const maxBinding = 2 ** 27;
    const choice = { ...TEST_OPTIONS, maxBinding };
    const input = planInput(readSnapshotConfig(folder).config, tensors, choice);
    assertEquals(planMemory({ ...input, budget: 2 ** 30 }), engine.runner.plan);
    snapshot.close();
    await engine.close();
  });
}

Deno.test("forecast() of a card that holds everything is limited by reading and dispatches", () => {
  const result = of("--device h200");
  assertEquals([result.fits, result.plan!.allResident, result.advice], [true, true, []]);
  assertEquals([result.hitRate.value, result.missedBytesPerToken.value], [1, 0]);
  // 3.48 GB of weights, at 60 % of 4.8 TB/s and 500 dispatches of 3 us.
  assertAlmostEquals(result.tokensPerSecond.value, 1 / (3.484 / 4800 / 0.6 + 0.0015), 4);
});

Deno.test("forecast() pages where the card is too small, and says what everything takes", () => {
  const [small, large] = [of("--device rtx-3060-12gb"), of("--device rtx-4090")];
  assertEquals([small.fits, small.plan!.allResident], [true, false]);
  assertEquals(small.plan!.expertSlots < large.plan!.expertSlots, true);
  assertEquals(small.hitRate.value < large.hitRate.value, true);
  assertEquals(small.tokensPerSecond.value < large.tokensPerSecond.value, true);
  assertEquals(small.advice[0]!.startsWith("everything resident takes 34.7 GiB"), true);
});

Deno.test("forecast() names the smallest budget that works, and it works", () => {
  const tight = of("--vram 2G --bandwidth 300");
  assertEquals([tight.fits, tight.plan], [false, null]);
  const { config, tensors, choice } = parseForecastOptions(["--vram", "2G", "--bandwidth", "300"]);
  const input = planInput(config, tensors, choice);
  assertEquals(planMemory({ ...input, budget: tight.least }).expertSlots >= 8, true);
  assertThrows(() => planMemory({ ...input, budget: tight.least - 2 ** 21 }), Error, "--vram");
});

Deno.test("interpolate() goes through the measured points and never falls", () => {
  assertEquals([interpolate(0), interpolate(0.27), interpolate(1)], [0, 0.835, 1]);
  for (let share = 0.01; share <= 1; share += 0.01) {
    assertEquals(interpolate(share) > interpolate(share - 0.01), true);
  }
});

Deno.test("parseForecastOptions() takes a config.json, a device or numbers, and says what is wrong", () => {
  const parse = (line: string) => parseForecastOptions(line.split(" "));
  assertEquals(parse(`--model ${GOLDEN}/tiny_fp8/config.json --device l4`).config.hidden, 64);
  assertEquals(parse("--device l4 --vram 10G").device, { ...DEVICES.l4!, vram: 10 * 2 ** 30 });
  assertEquals(parse("--vram 1G --bandwidth 100").device.bandwidth, 1e11);
  for (
    const [line, message] of [
      ["--model 35B-A3B", 'Cannot read --device: found "nothing"'],
      ["--device abacus", 'Cannot read --device: found "abacus", wanted t4'],
      ["--device l4 --model nowhere.json", "Cannot read --model: found"],
      ["--device l4 --kv int8", 'Cannot read --kv: found "int8"'],
      ["--device l4 --context 0", "Cannot read --context"],
      ["--device l4 --link fast", "Cannot read --link"],
    ] as const
  ) assertThrows(() => parse(line), Error, message);
});
