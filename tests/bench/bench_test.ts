import { assertAlmostEquals, assertEquals, assertMatch, assertThrows } from "@std/assert";
import { inventory, tensorBytes } from "../../runtime/synth/inventory.ts";
import { MEMBERS } from "../../runtime/synth/members.ts";
import { OptionError } from "../../runtime/options.ts";
import type { AloneSeconds } from "./alone.ts";
import { checkpoints, firstOfKind } from "./checkpoints.ts";
import { MATRICES } from "./kernels.ts";
import { bytesOf } from "./matrix_cases.ts";
import { WeightsError } from "../../weights/mod.ts";
import { parseBenchOptions } from "./options.ts";
import { decodeRate, isFigure, type LeftOut, repeated } from "./timing.ts";
import { kernelSeconds, weightBytesOfToken } from "./traffic.ts";

Deno.test("weightBytesOfToken() of 35B-A3B is what its roofline is drawn with", () => {
  const { tensors, config } = inventory({ member: MEMBERS["35B-A3B"], format: "fp8" });
  const sized = tensors.map((tensor) => ({ name: tensor.name, byteLength: tensorBytes(tensor) }));
  assertEquals(weightBytesOfToken(sized, config), 3_481_438_336);
});

Deno.test("kernelSeconds() counts every matrix of a token once", () => {
  const { tensors, config } = inventory({ member: MEMBERS["35B-A3B"], format: "fp8" });
  // With kernels that take a second a byte, seconds are bytes.
  const alone = {
    ...Object.fromEntries(Object.entries(MATRICES).map(([key, m]) => [key, bytesOf(m)])),
    experts: 9 * 3_146_112,
  } as AloneSeconds;
  const matrices = tensors.filter(({ shape, name }) => shape.length === 2 || name.includes("_proj"))
    .map((tensor) => ({ name: tensor.name, byteLength: tensorBytes(tensor) }));
  assertEquals(
    kernelSeconds(alone, config),
    weightBytesOfToken(matrices, config),
  );
});

Deno.test("checkpoints() always has a small model first, and the real sizes in the given folder", () => {
  const [small, ...real] = checkpoints("/nowhere");
  assertEquals(Deno.statSync(`${small!.folder}/config.json`).isFile, true);
  assertEquals(real.map(({ folder }) => folder), [
    "/nowhere/35B-A3B-4-layers-vocab-640",
    "/nowhere/35B-A3B-4-layers-vocab-16384",
  ]);
  assertEquals(firstOfKind([small!, ...real]), [small!, real[0]!]);
});

Deno.test("decodeRate() counts the steps in which every sequence decodes", () => {
  // A step takes 100 ms; the second sequence begins at 300 ms and ends last.
  const steps = (from: number, to: number) =>
    Array.from({ length: (to - from) / 100 + 1 }, (_, i) => from + 100 * i);
  assertAlmostEquals(decodeRate([steps(0, 900)]), 10);
  assertAlmostEquals(decodeRate([steps(0, 900), steps(300, 1200)]), 20);
  // Before the second began, steps of the first were faster; they do not count.
  assertAlmostEquals(decodeRate([[0, 10, 20, 300, 400, 500, 600], steps(300, 700)]), 20);
  assertThrows(() => decodeRate([steps(0, 200), steps(100, 900)]), RangeError);
});

Deno.test("repeated() leaves out what takes too long, and stops when it has", async () => {
  let runs = 0;
  const once = () => Promise.resolve(++runs);
  const limits = { runs: 3, patience: 60, until: Infinity };
  assertEquals(await repeated(limits, once), { value: 2, runs: 3 });
  assertEquals(await repeated({ ...limits, expected: 61.5 }, once), {
    leftOut: "would take about 62 s: --patience 62",
  });
  const until = performance.now() + 5000;
  const late = await repeated({ ...limits, until, expected: 30 }, once);
  assertEquals(isFigure(late), false);
  assertMatch(
    (late as LeftOut).leftOut,
    /^would take about 30 s, [45] s are left: raise --minutes$/,
  );
  const over = await repeated({ ...limits, until: 0 }, once);
  assertMatch((over as LeftOut).leftOut, / 0 s are left: raise --minutes$/);
  assertEquals(runs, 3);
  const slow = () => new Promise<number>((resolve) => setTimeout(() => resolve(++runs), 5));
  assertEquals(await repeated({ ...limits, patience: 0.001 }, slow), { value: 4, runs: 1 });
  const soon = await repeated({ ...limits, until: performance.now() + 2 }, slow);
  assertEquals(soon, { value: 5, runs: 1 });
});

Deno.test("parseBenchOptions() reads lists with thousands, and refuses what it does not know", () => {
  const options = parseBenchOptions(["--only", "decode,start", "--contexts", "0,8k", "--runs=2"]);
  assertEquals([...options.parts], ["decode", "start"]);
  assertEquals([options.contexts, options.runs], [[0, 8192], 2]);
  assertEquals(parseBenchOptions([]).parts.size, 7);
  const wrong = [["--only", "all"], ["--batches", "17"], ["--runs", "0"], ["--contexts", "1.5"]];
  for (const args of [...wrong, ["--prompts", ""], ["--what"], ["--model", "none"]]) {
    assertThrows(() => parseBenchOptions(args), OptionError, "Cannot read");
  }
  const json = ["--json", "/nowhere/x.json"];
  assertThrows(() => parseBenchOptions(json), OptionError, 'found no folder "/nowhere"');
  const start = ["--start-model", "/nowhere"];
  assertThrows(() => parseBenchOptions(start), WeightsError, "no such folder");
});
