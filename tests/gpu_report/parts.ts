/** What the report is made of: each part runs in a process of its own, so that what it breaks stays its own. @module */
import { OptionError } from "../../runtime/command_line.ts";
import type { Rates } from "../../runtime/forecast/measure.ts";
import { reportAdapter } from "./adapter.ts";
import { reportBudget } from "./budget.ts";
import type { BudgetRun } from "./open_run.ts";
import { reportCorrectness } from "./correctness.ts";
import type { Finding, Report } from "./finding.ts";
import { pinnedKernels, reportKernels } from "./kernels.ts";
import { reportLimits } from "./limits.ts";
import { DEFAULT_SECONDS, type ReportOptions } from "./options.ts";
import { reportPaging } from "./paging.ts";
import { reportPeer } from "./peer.ts";
import { makeSnapshot } from "./snapshot.ts";
import { reportSubmits } from "./submits.ts";
import { reportTransformers } from "./transformers.ts";

/** One part. */
export interface Part {
  readonly name: string;
  /** For people. */
  readonly title: string;
  /** It is stopped after so many seconds, or when the whole report's time is over. */
  readonly seconds: number;
  /** Not run once this part has failed. */
  readonly needs?: string;
}

/** What a part's process is told. */
export interface PartInput {
  readonly part: string;
  readonly options: ReportOptions;
  /** Until the part is stopped. */
  readonly seconds: number;
  /** Of the parts before. */
  readonly findings: readonly Finding[];
}

const BUDGET_SECONDS = 45;
/** Of a part's time, for starting and ending its process. */
const MARGIN_MS = 3000;
const RESIDENT = "resident";
const COLD = "cold";

/** @throws {OptionError} if a part is asked for that there is not */
export function checkParts(options: ReportOptions): void {
  const names = partsOf({ ...options, only: [] }).map(({ name }) => name);
  const unknown = options.only.find((name) => !names.includes(name));
  if (unknown === undefined) return;
  throw new OptionError(
    `Cannot read --only: found "${unknown}", wanted some of ${names.join(",")}`,
  );
}

/** All parts in order: what is right first, what the device can do, then the model. */
export function partsOf(
  { budgets, only, llamaBench, seconds: all }: ReportOptions,
): readonly Part[] {
  const model = { needs: "snapshot" };
  const parts: Part[] = [
    { name: "adapter", title: "adapter, limits and features", seconds: 20 },
    { name: "kernels", title: "variant of the matrix kernels", seconds: 40 },
    { name: "correctness", title: "the engine against transformers", seconds: 60 },
    { name: "limits", title: "bandwidth, arithmetic, dispatches, read-backs", seconds: 60 },
    { name: "paging", title: "ways to page an expert in", seconds: 50 },
    { name: "submits", title: "longest submission", seconds: 30 },
    { name: "snapshot", title: "snapshot", seconds: 160, needs: "correctness" },
    { name: RESIDENT, title: "everything resident", seconds: 80, ...model },
    { name: "transformers", title: "real sizes against transformers", seconds: 60 },
    ...(llamaBench === null ? [] : [{ name: "peer", title: "llama.cpp beside it", seconds: 60 }]),
    ...budgets.map((budget) => ({
      name: budgetPart(budget),
      title: `budget of ${budget}`,
      seconds: BUDGET_SECONDS,
      ...model,
    })),
    ...forced(budgets, model),
    { name: COLD, title: "first token with a cold page cache", seconds: BUDGET_SECONDS, ...model },
  ];
  // Whoever gives the report more time gives it to the parts.
  const scale = Math.max(1, all / DEFAULT_SECONDS);
  return parts.filter(({ name }) => only.length === 0 || only.includes(name))
    .map((part) => ({ ...part, seconds: part.seconds * scale }));
}

/** Runs one part. @throws {Error} whatever keeps it from going on, in one line */
export async function runPart({ part, ...input }: PartInput, report: Report): Promise<void> {
  const { options, findings, seconds } = input;
  const kernels = pinnedKernels(findings);
  switch (part) {
    case "adapter":
      return await reportAdapter(report);
    case "kernels":
      return await reportKernels(report, options);
    case "correctness":
      return await reportCorrectness(report, kernels);
    case "limits":
      return await reportLimits(report, options, kernels);
    case "paging":
      return await reportPaging(report, options);
    case "submits":
      return await reportSubmits(report, options);
    case "transformers":
      return await reportTransformers(report, options, { kernels });
    case "peer":
      return await reportPeer(report, options, findings);
    case "snapshot":
      return makeSnapshot(report, options, seconds);
    default: {
      const untilMs = performance.now() + 1000 * seconds - MARGIN_MS;
      const run = { ...knownBefore(findings), ...budgetOf(part, options), kernels, untilMs };
      return await reportBudget(report, options, run);
    }
  }
}

/** At the second budget both ways to page, whichever of them the engine would choose. */
function forced(budgets: readonly string[], model: Pick<Part, "needs">): Part[] {
  const budget = budgets[1] ?? budgets[0];
  if (budget === undefined) return [];
  return (["host", "paged"] as const).map((mode) => ({
    name: `${budgetPart(budget)}-${mode}`,
    title: `budget of ${budget}, experts ${mode}`,
    seconds: BUDGET_SECONDS,
    ...model,
  }));
}

function budgetPart(budget: string): string {
  return `vram-${budget}`;
}

function budgetOf(
  part: string,
  { budgets }: ReportOptions,
): Pick<BudgetRun, "budget" | "residency" | "cold"> {
  if (part === RESIDENT) return { budget: null, residency: "resident", cold: false };
  if (part === COLD) return { budget: budgets[0] ?? null, residency: "paged", cold: true };
  const [, budget = "", mode = "auto"] = part.split("-");
  return { budget, residency: mode as BudgetRun["residency"], cold: false };
}

/** What a budget's run goes by of what earlier parts found. */
function knownBefore(
  findings: readonly Finding[],
): Pick<BudgetRun, "rates" | "residentStep" | "logprobs"> {
  const values = Object.assign({}, ...findings.map(({ data }) => data)) as
    & Partial<Rates>
    & { readonly kernelRates?: string };
  const { read, upload, flops, dispatch, kernelRates } = values;
  const kernels = kernelRates ? JSON.parse(kernelRates) as Rates["kernels"] : null;
  const known = [read, upload, flops, dispatch].every((rate) => typeof rate === "number");
  const resident = dataOf(findings, (name) => name === "all resident: decode");
  const first = dataOf(findings, (name) => name.endsWith(": log-probabilities"));
  return {
    rates: known
      ? { read: read!, upload: upload!, flops: flops!, dispatch: dispatch!, kernels }
      : null,
    residentStep: resident ? 1 / Number(resident.tokensPerSecond) : null,
    logprobs: first ? JSON.parse(String(first.logprobs)) as number[] : null,
  };
}

function dataOf(
  findings: readonly Finding[],
  is: (name: string) => boolean,
): Finding["data"] {
  return findings.find(({ name, data }) => is(name) && data !== undefined)?.data;
}
