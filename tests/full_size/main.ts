/**
 * Serves a snapshot with several GPU budgets, one after the other, through HTTP: the answers must be the same to the
 * last bit. Prints times, bytes read and memory, the latter seen from outside of the process. Linux only.
 *
 *     deno run -A tests/full_size/main.ts SNAPSHOT --budgets 8G,6G
 *
 * @module
 */
import { parseArgs } from "node:util";
import { readSnapshotConfig } from "../../runtime/snapshot.ts";
import type { Question } from "./ask.ts";
import { type BudgetRun, runBudget } from "./budget_run.ts";
import { budgetTable, difference } from "./report.ts";

const HELP = `Serves a snapshot with several GPU budgets and compares the answers.

full_size SNAPSHOT [flags] [-- flags of serve]
  --budgets LIST     of --vram, with ":resident" behind one that loads every expert at start (8G,6G)
  --requests N       sent at once (2)
  --prompt N         tokens of each prompt (64)
  --tokens N         tokens of each answer (16)
  --json FILE        writes everything that was measured`;

/** Different ids for each request, spread over the vocabulary. */
function questions(
  vocab: number,
  { requests, prompt, tokens }: Record<"requests" | "prompt" | "tokens", number>,
): Question[] {
  return Array.from({ length: requests }, (_, request) => ({
    prompt: Array.from({ length: prompt }, (_, i) => (7919 * i + 104_729 * request + 11) % vocab),
    tokens,
    alternatives: 5,
  }));
}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      budgets: { type: "string", default: "8G,6G" },
      requests: { type: "string", default: "2" },
      prompt: { type: "string", default: "64" },
      tokens: { type: "string", default: "16" },
      json: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  const [model, ...flags] = positionals;
  if (values.help || model === undefined) {
    console.log(HELP);
    return values.help ? 0 : 2;
  }
  const { config: { vocab } } = readSnapshotConfig(model);
  const [requests, prompt, tokens] = [values.requests, values.prompt, values.tokens].map(Number);
  const request = {
    model,
    flags,
    questions: questions(vocab, { requests: requests!, prompt: prompt!, tokens: tokens! }),
    log: (line: string) => console.error(line),
  };
  const runs: BudgetRun[] = [];
  for (const budget of values.budgets.split(",")) runs.push(await runBudget(budget, request));
  const differences = runs.slice(1).map((run) => difference(runs[0]!, run));
  console.log(`${model}: ${requests} requests at once, ${prompt} tokens each, ${tokens} out`);
  console.log(budgetTable(runs));
  for (const { budget, reading } of runs) console.log(`${budget}: experts read by ${reading}`);
  differences.forEach((found, i) =>
    console.log(
      `${runs[0]!.budget} and ${runs[i + 1]!.budget}: ${found ?? "equal to the last bit"}`,
    )
  );
  if (values.json !== undefined) {
    Deno.writeTextFileSync(
      values.json,
      JSON.stringify({ model, runs, differences }, null, 2) + "\n",
    );
  }
  return differences.every((found) => found === null) ? 0 : 1;
}

if (import.meta.main) Deno.exit(await main(Deno.args));
