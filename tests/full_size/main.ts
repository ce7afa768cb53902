/**
 * Serves a snapshot with several GPU budgets, one after the other, through HTTP: the answers must be the same to the
 * last bit. Prints times, bytes read and memory, the latter seen from outside of the process. Linux only.
 *
 *     deno run -A tests/full_size/main.ts SNAPSHOT --budgets 8G,6G
 *
 * @module
 */
import { exitCode } from "../../runtime/command_line.ts";
import type { Question } from "./ask.ts";
import { type BudgetRun, runBudget } from "./budget_run.ts";
import { FULL_SIZE_HELP, type FullSizeOptions, parseFullSizeOptions } from "./options.ts";
import { budgetTable, difference } from "./report.ts";

/** Different ids for each request, spread over the vocabulary. */
function questions({ vocab, requests, prompt, tokens }: FullSizeOptions): Question[] {
  return Array.from({ length: requests }, (_, request) => ({
    prompt: Array.from({ length: prompt }, (_, i) => (7919 * i + 104_729 * request + 11) % vocab),
    tokens,
    alternatives: 5,
  }));
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--help")) {
    console.log(FULL_SIZE_HELP);
    return 0;
  }
  const options = parseFullSizeOptions(args);
  const { model, flags, budgets, requests, prompt, tokens, json } = options;
  const request = {
    ...{ model, flags },
    questions: questions(options),
    log: (line: string) => console.error(line),
  };
  const runs: BudgetRun[] = [];
  for (const budget of budgets) runs.push(await runBudget(budget, request));
  const differences = runs.slice(1).map((run) => difference(runs[0]!, run));
  console.log(`${model}: ${requests} requests at once, ${prompt} tokens each, ${tokens} out`);
  console.log(budgetTable(runs));
  for (const { budget, reading } of runs) console.log(`${budget}: experts read by ${reading}`);
  differences.forEach((found, i) =>
    console.log(
      `${runs[0]!.budget} and ${runs[i + 1]!.budget}: ${found ?? "equal to the last bit"}`,
    )
  );
  if (json !== null) {
    Deno.writeTextFileSync(
      json,
      JSON.stringify({ model, runs, differences }, null, 2) + "\n",
    );
  }
  return differences.every((found) => found === null) ? 0 : 1;
}

if (import.meta.main) Deno.exit(await exitCode(() => main(Deno.args)));
