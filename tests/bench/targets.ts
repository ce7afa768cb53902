/** What the project promises, held against what was measured. @module */
import type { KernelReport } from "./kernels.ts";
import type { ModelResult, Row } from "./models.ts";
import type { PagingResult } from "./paging.ts";
import { digits, percent } from "./report.ts";
import type { StartResult } from "./startup.ts";
import { isFigure } from "./timing.ts";

/** One promise. */
export interface Target {
  readonly promise: string;
  /** What was measured; null if nothing was. */
  readonly found: string | null;
  readonly kept: boolean;
}

/** What promises are held against. */
export interface Measurements {
  readonly kernels: Pick<KernelReport, "wideOfRead"> | null;
  /** The demo, and models with the matrices of 35B-A3B. */
  readonly models: readonly Pick<ModelResult, "name" | "decode" | "prompts" | "batches">[];
  readonly paging: readonly Pick<PagingResult, "name" | "rows">[];
  readonly starts: readonly Pick<StartResult, "name" | "cache" | "firstToken">[];
}

/** The shares and ratios that are promised. */
const LEAST = { alone: 0.7, wide: 0.6, prefill: 3, batch: 2.5 } as const;
const MOST = { points: 2, seconds: 4 } as const;
const PREFILL = 512;
const BATCH = 8;

/** All promises, in order. */
export function targets({ kernels, models, paging, starts }: Measurements): Target[] {
  const real = models.filter(({ decode }) => decode.alone);
  const least = real[0];
  const alone = real.length > 0
    ? real.map(({ name, decode }) =>
      atLeast(`matrices alone over a token's time, ${name}`, decode.alone!.share, LEAST.alone)
    )
    : [atLeast("matrices alone over a token's time", null, LEAST.alone)];
  return [
    ...alone,
    atLeast("64 MB matrix over reading alone", kernels?.wideOfRead ?? null, LEAST.wide),
    atLeast(
      `prefill of ${PREFILL} over decode without its head`,
      least && prefillRatio(least),
      LEAST.prefill,
    ),
    atLeast(`${BATCH} sequences over one`, least && batchRatio(least), LEAST.batch),
    hitRates(paging),
    firstToken(starts),
  ];
}

/** The promises as lines of text. */
export function targetLines(list: readonly Target[]): string {
  const lines = list.map(({ promise, found, kept }) => {
    const mark = found === null ? "----" : kept ? "pass" : "FAIL";
    return `  ${mark}  ${promise}: ${found ?? "not measured"}`;
  });
  return ["what it must show", ...lines].join("\n");
}

function prefillRatio({ decode, prompts }: Measurements["models"][number]): number | null {
  const rate = rateOf(prompts, PREFILL);
  const withoutHead = 1 / decode.value - decode.alone!.head;
  return rate === null ? null : rate * withoutHead;
}

function batchRatio({ batches }: Measurements["models"][number]): number | null {
  return batches.find(({ size }) => size === BATCH)?.overOne ?? null;
}

function hitRates(paging: Measurements["paging"]): Target {
  const promise = `hit rates within ${MOST.points} points of the replay's`;
  const off = paging.flatMap(({ rows }) => rows)
    .map(({ hitRate, predictedHitRate }) => 100 * Math.abs(hitRate - predictedHitRate));
  if (off.length === 0) return { promise, found: null, kept: false };
  const most = Math.max(...off);
  return { promise, found: `at most ${most.toFixed(2)} off`, kept: most <= MOST.points };
}

function firstToken(starts: Measurements["starts"]): Target {
  const promise = `demo: first streamed token in under ${MOST.seconds} s`;
  const start = starts.find(({ name, cache }) => name === "demo" && cache === "warm");
  if (!start) return { promise, found: null, kept: false };
  const { firstToken: seconds } = start;
  return { promise, found: `${digits(seconds)} s`, kept: seconds < MOST.seconds };
}

function atLeast(name: string, value: number | null | undefined, least: number): Target {
  const show = (amount: number) => least < 1 ? percent(amount) : `${digits(amount)}x`;
  const promise = `${name}, at least ${show(least)}`;
  if (value === null || value === undefined) return { promise, found: null, kept: false };
  return { promise, found: show(value), kept: value >= least };
}

function rateOf(rows: readonly Row[], size: number): number | null {
  const rate = rows.find((row) => row.size === size)?.rate;
  return isFigure(rate) ? rate.value : null;
}
