import { assertLess } from "@std/assert";
import { parseConfig } from "../../../runtime/model/config.ts";
import {
  emptyState,
  naiveForward,
  naiveLogprobs,
  type NaiveModel,
} from "../../../runtime/model/naive.ts";
import { NaiveWeights } from "../../../runtime/model/naive_weights.ts";
import { openSnapshot } from "../../../weights/mod.ts";
import { type ExpectedPrompt, loadOracleCase, ORACLE_CASES } from "../../oracle_case.ts";
import { assertParity, compareParity } from "../../parity.ts";

/** Double precision against float32: what is left is the reference's own rounding. */
const RULE = { tolerance: 1e-3, routerTie: 1e-5, exemptShare: 0.02, greedyMargin: 1e-3 };

function greedy({ config, weights }: NaiveModel, prompt: ExpectedPrompt): number[] {
  const state = emptyState(config);
  let rows: readonly number[] = prompt.tokens;
  return prompt.greedy.tokens.map(() => {
    const logits = naiveForward({ config, weights }, rows, state).slice(-config.vocab);
    const best = logits.indexOf(logits.reduce((a, b) => Math.max(a, b)));
    rows = [best];
    return best;
  });
}

for (const name of ORACLE_CASES) {
  Deno.test(`naiveForward() gives transformers' log-probabilities for ${name}`, () => {
    const { dir, prompts } = loadOracleCase(name, name === "tiny_fp8" ? 1000 : 65);
    const config = parseConfig(JSON.parse(Deno.readTextFileSync(`${dir}/config.json`)));
    const snapshot = openSnapshot(dir, { source: "pread" });
    try {
      const model = { config, weights: new NaiveWeights(snapshot) };
      const results = prompts.map((prompt) => ({
        logprobs: naiveLogprobs(model, prompt.tokens),
        ...(prompt.tokens.length <= 2 ? { greedy: greedy(model, prompt) } : {}),
      }));
      const report = compareParity(prompts, results, RULE);
      assertParity(report);
      assertLess(report.worst, 1e-3);
    } finally {
      snapshot.close();
    }
  });
}
