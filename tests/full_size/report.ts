/** The comparison of budgets as a table. @module */
import type { BudgetRun } from "./budget_run.ts";

/** What differs between two runs; null if every id and every log-probability is the same to the last bit. */
export function difference(one: BudgetRun, other: BudgetRun): string | null {
  for (const [index, answer] of one.answers.entries()) {
    const twin = other.answers[index]!;
    for (const { budget, answers } of [one, other]) {
      const { error } = answers[index]!;
      if (error !== null) return `${budget}, request ${index}: ${error}`;
    }
    if (answer.ids.length !== twin.ids.length) {
      return `request ${index}: ${answer.ids.length} tokens and ${twin.ids.length}`;
    }
    for (const [at, id] of answer.ids.entries()) {
      const left = [id, answer.logprobs[at], answer.tops[at]];
      const right = [twin.ids[at], twin.logprobs[at], twin.tops[at]];
      if (JSON.stringify(left) === JSON.stringify(right)) continue;
      return `request ${index}, token ${at}: ${JSON.stringify(left)} and ${JSON.stringify(right)}`;
    }
  }
  return null;
}

/** One column a budget. */
export function budgetTable(runs: readonly BudgetRun[]): string {
  const rows = ROWS.map(([name, cell]) => [name, ...runs.map(cell)]);
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  return rows.map((row) =>
    row.map((cell, i) => i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)).join("  ")
  ).join("\n");
}

const ROWS: readonly (readonly [name: string, cell: (run: BudgetRun) => string])[] = [
  ["budget", ({ budget }) => budget],
  ["slots a layer", ({ slots }) => String(slots)],
  ["start to listening", ({ seconds }) => time(seconds.listening)],
  ["start to ready", ({ seconds }) => time(seconds.ready)],
  ["start to first token", ({ seconds }) => time(seconds.firstToken)],
  ["a token of each request", ({ seconds }) => time(seconds.perToken)],
  ["hit rate", ({ experts: { hits, misses } }) => `${(100 * hits / (hits + misses)).toFixed(1)} %`],
  ["stops", ({ experts }) => String(experts.stops)],
  ["trunk read", ({ trunkBytes }) => amount(trunkBytes)],
  ["experts loaded on demand", ({ experts }) => amount(experts.demandBytes)],
  ["  misses x expert size", ({ experts }) => amount(experts.misses * experts.expertBytes)],
  ["experts read ahead", ({ experts }) => amount(experts.prefetchBytes)],
  ["experts read to time the ways", ({ experts }) => amount(experts.trialBytes)],
  ["headers and embedding rows", otherAmount],
  ["read calls, from outside", ({ reads }) => amount(reads.called)],
  ["fetched from storage", ({ reads }) => amount(reads.fetched)],
  ["planned for the GPU", ({ planned }) => amount(planned)],
  ["anonymous memory at the end", ({ memory }) => amount(memory.atEnd.anonymous)],
  ["  beyond the plan", (run) => amount(beyondPlan(run))],
  ["  beyond the plan, highest", (run) => amount(run.memory.highestAnonymous - run.planned)],
  [
    "  beyond the plan, at readiness",
    (run) => amount(run.memory.atReady.anonymous - run.planned),
  ],
  ["memory of files at the end", ({ memory }) => amount(memory.atEnd.file)],
];

/** Anonymous memory of the process that is not the software GPU's. */
export function beyondPlan({ memory, planned }: BudgetRun): number {
  return memory.atEnd.anonymous + memory.atEnd.shared - planned;
}

/** Experts that were loaded out of host memory were read into it before, each once: then the rest is not known. */
function otherAmount(run: BudgetRun): string {
  const bytes = otherBytes(run);
  return bytes < 0 ? "unknown" : amount(bytes);
}

/** What was read of the snapshot and is neither trunk nor expert. */
export function otherBytes({ fileBytes, trunkBytes, experts }: BudgetRun): number {
  const { demandBytes, prefetchBytes, trialBytes } = experts;
  return fileBytes - trunkBytes - demandBytes - prefetchBytes - trialBytes;
}

function time(seconds: number): string {
  return `${seconds.toPrecision(3)} s`;
}

/** Decimal units, as disks are sold. */
function amount(bytes: number): string {
  return bytes < 1e9 ? `${(bytes / 1e6).toFixed(2)} MB` : `${(bytes / 1e9).toFixed(3)} GB`;
}
