/** Whether the engine says the right thing on this device: before anything of it is timed. @module */
import { openGpu } from "../../runtime/gpu/device.ts";
import { complete, greedy, openTestEngine } from "../engine_fixture.ts";
import { loadOracleCase } from "../oracle_case.ts";
import { compareParity } from "../parity.ts";
import type { Report } from "./finding.ts";

/** Small snapshots with what transformers makes of them, committed; with the real sizes of heads first. */
const CASES = ["real_heads_fp8", "tiny_fp8", "fused_bf16", "dense_yarn_fp8"] as const;

/** Longest prompt on a software adapter, tokens: the tests run the others. */
const SLOW_LENGTH = 70;

/** @throws {Error} if the engine differs from transformers by more than rounding */
export async function reportCorrectness(report: Report, kernels: string): Promise<void> {
  const { device, software } = await openGpu();
  device.destroy();
  let broken = 0;
  for (const name of software ? CASES.slice(0, 2) : CASES) {
    const { dir, prompts } = loadOracleCase(name, software ? SLOW_LENGTH : Infinity);
    const engine = await openTestEngine(dir, { context: null, kernels });
    const results = [];
    for (const { tokens, greedy: { tokens: further } } of prompts) {
      const request = greedy(tokens, { maxTokens: further.length, promptLogprobs: 0 });
      const { promptLogprobs, tokens: generated } = await complete(engine, request);
      results.push({ logprobs: promptLogprobs, greedy: generated });
    }
    await engine.close();
    const { worst, positions, exempt, problems } = compareParity(prompts, results);
    broken += problems.length;
    report({
      section: "correctness",
      name: `log-probabilities of ${name} against transformers`,
      found: problems.length === 0
        ? `within ${worst.toExponential(1)} at ${positions - exempt} positions`
        : `WRONG: ${problems.slice(0, 3).join("; ")}`,
      how: "float32 on a CPU, computed before and kept with the tests; also greedy tokens",
      data: { worst, positions, exempt, problems: problems.length },
    });
  }
  if (broken > 0) throw new Error("the engine is wrong on this device: nothing of it is timed");
}
