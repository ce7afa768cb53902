import { assertEquals, assertMatch, assertRejects, assertThrows } from "@std/assert";
import { OptionError } from "../../../runtime/options.ts";
import { findLlamaBench, parseRates, runLlamaBench } from "./llama_bench.ts";
import { parsePeerOptions } from "./options.ts";
import { Pairing, pairTable } from "./pairing.ts";

const VULKAN = JSON.stringify([
  { n_prompt: 16, n_gen: 0, avg_ts: 0.19, backends: "Vulkan", gpu_info: "llvmpipe", cpu_info: "c" },
  { n_prompt: 0, n_gen: 8, avg_ts: 0.46, backends: "Vulkan", gpu_info: "llvmpipe", cpu_info: "c" },
]);

/** A program that prints what `script` does, in a folder of its own. */
function fakeProgram(script: string): { folder: string; program: string } {
  const folder = Deno.makeTempDirSync();
  const program = `${folder}/llama-bench`;
  Deno.writeTextFileSync(program, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  return { folder, program };
}

Deno.test("parseRates() tells prefill from decode, and the hardware of the back end", () => {
  const rates = { prefill: 0.19, decode: 0.46, backend: "Vulkan" };
  assertEquals(parseRates(VULKAN, "vulkan"), { ...rates, hardware: "llvmpipe" });
  assertEquals(parseRates(VULKAN, "cpu"), { ...rates, hardware: "c" });
  const without = VULKAN.replaceAll("llvmpipe", "");
  assertThrows(() => parseRates(without, "vulkan"), OptionError, "found no Vulkan device");
  for (const text of ["", "[{}]", "{}"]) {
    assertThrows(() => parseRates(text, "cpu"), OptionError, "wanted a JSON array of runs");
  }
});

Deno.test("findLlamaBench() takes a program or a folder, and says how to get one", () => {
  const { folder, program } = fakeProgram("true");
  assertEquals([findLlamaBench(folder), findLlamaBench(program)], [program, program]);
  assertThrows(() => findLlamaBench("/nowhere"), OptionError, "cmake --build");
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("runLlamaBench() names the device, and repeats the last line of a failure", async () => {
  const { folder, program } = fakeProgram(
    `[ "$GGML_VK_VISIBLE_DEVICES" = 3 ] || { echo first >&2; echo "no model" >&2; exit 7; }\n` +
      `echo '${VULKAN}'`,
  );
  const bench = { program, gguf: "x.gguf", device: "3" };
  const { decode } = await runLlamaBench(bench, "vulkan", { prompt: 16, tokens: 8 });
  assertEquals(decode, 0.46);
  const cpu = () => runLlamaBench(bench, "cpu", { prompt: 16, tokens: 8 });
  await assertRejects(cpu, OptionError, "ended with 7: no model");
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("Pairing takes the median of the rounds' ratios, not the ratio of medians", () => {
  const pairing = new Pairing();
  for (const rates of [[4, 1], [20, 10], [9, 3]] as const) pairing.add("x", "decode", rates);
  pairing.add("x", "prefill", [1, 2]);
  const [decode, prefill] = pairing.results();
  assertEquals(decode, { work: "decode", peer: "x", ours: 9, theirs: 3, ratio: 3, rounds: 3 });
  assertEquals(prefill!.ratio, 0.5);
  assertMatch(pairTable([decode!]), /decode +x +9\.00 +3\.00 +3\.00x +3$/);
});

Deno.test("parsePeerOptions() asks for what it needs in one line", () => {
  const needed = ["--llama-bench", "/b", "--gguf", "m.gguf"];
  const { backends, prompts, snapshot } = parsePeerOptions(needed);
  assertEquals([backends, prompts], [["vulkan", "cpu"], [16, 512]]);
  assertMatch(snapshot, /4-layers-vocab-640$/);
  const wrong = [
    [],
    needed.slice(0, 2),
    [...needed, "--backends", "metal"],
    [...needed, "--rounds", "0"],
    [...needed, "--what"],
  ];
  for (const args of wrong) assertThrows(() => parsePeerOptions(args), OptionError, "Cannot");
});
