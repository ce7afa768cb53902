import { assertEquals, assertMatch } from "@std/assert";
import type { Finding } from "./finding.ts";
import { parseReportOptions } from "./options.ts";
import { reportPeer } from "./peer.ts";

const RUNS = [
  { n_prompt: 100, n_gen: 0, avg_ts: 50, backends: "Vulkan", gpu_info: "a card", cpu_info: "c" },
  { n_prompt: 0, n_gen: 64, avg_ts: 20, backends: "Vulkan", gpu_info: "a card", cpu_info: "c" },
];
const OURS: readonly Finding[] = [
  { section: "speed", name: "all resident: decode", found: "", data: { tokensPerSecond: 60 } },
  {
    section: "speed",
    name: "all resident: prompt of 100",
    found: "",
    data: { tokens: 100, seconds: 1 },
  },
];

async function linesOf(flags: readonly string[]): Promise<Map<string, string>> {
  const lines = new Map<string, string>();
  const options = parseReportOptions(["--prompts", "100", ...flags], "/tmp");
  await reportPeer(({ name, found }) => void lines.set(name, found), options, OURS);
  return lines;
}

Deno.test("reportPeer() tells each back end that the build has beside this engine, and names the others", async () => {
  const folder = Deno.makeTempDirSync();
  Deno.writeTextFileSync(`${folder}/llama-bench`, `#!/bin/sh\necho '${JSON.stringify(RUNS)}'\n`);
  Deno.chmodSync(`${folder}/llama-bench`, 0o755);
  const lines = await linesOf(["--llama-bench", folder, "--gguf", "x.gguf"]);
  assertEquals(lines.get("llama.cpp vulkan: decode"), "20.0 tokens/s; ours 3.00 times that");
  assertEquals(
    lines.get("llama.cpp vulkan: prompt of 100"),
    "50.0 tokens/s; ours 2.00 times that",
  );
  assertMatch(lines.get("llama.cpp cuda")!, /^skipped: .*found no CUDA device/);
  Deno.removeSync(folder, { recursive: true });
});

Deno.test("reportPeer() says that it was not asked", async () => {
  const lines = await linesOf([]);
  assertEquals([...lines], [
    ["llama.cpp", "skipped: --llama-bench and --gguf were not given"],
  ]);
});
