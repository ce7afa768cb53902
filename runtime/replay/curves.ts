/** Hit rates of several policies over the residency, as values and as a table. @module */
import type { RoutingTrace } from "../experts/trace.ts";
import type { PolicyName } from "./policies.ts";
import { neededLoads, type ReplayResult, replayTrace, slotsFor } from "./replay.ts";

/** What one trace comes to. */
export interface Curves {
  readonly model: string;
  readonly layers: number;
  readonly experts: number;
  readonly topK: number;
  readonly steps: number;
  /** Rows of all steps together. */
  readonly rows: number;
  /** Loads without any cache: the distinct experts of every layer of every step. */
  readonly uncachedLoads: number;
  /** Policy by policy, from few slots to many. */
  readonly results: readonly ReplayResult[];
}

/** Replays a trace with each policy at each residency; residencies that come to the same slots count once. */
export async function hitRateCurves(
  trace: RoutingTrace,
  { policies, residencies }: {
    readonly policies: readonly PolicyName[];
    readonly residencies: readonly number[];
  },
): Promise<Curves> {
  const { header, steps } = trace;
  const counts = [...new Set(residencies.map((share) => slotsFor(trace, share)))]
    .sort((a, b) => a - b);
  const results: ReplayResult[] = [];
  for (const policy of policies) {
    for (const slots of counts) results.push(await replayTrace(trace, { policy, slots }));
  }
  return {
    ...header,
    steps: steps.length,
    rows: steps.reduce((sum, { rows }) => sum + rows, 0),
    uncachedLoads: neededLoads(trace),
    results,
  };
}

/** The curves as lines of text: one row a residency, hit rates in percent. */
export function curvesTable({ results, ...curves }: Curves): string {
  const { model, layers, experts, topK, steps, rows, uncachedLoads } = curves;
  const policies = [...new Set(results.map(({ policy }) => policy))];
  const counts = [...new Set(results.map(({ slots }) => slots))];
  const body = counts.map((slots) => {
    const row = policies.map((policy) =>
      results.find((result) => result.slots === slots && result.policy === policy)!
    );
    return [
      `${(100 * slots / experts).toFixed(0)} %`,
      String(slots),
      ...row.map(({ hitRate, lateHitRate }) => `${percent(hitRate)} / ${percent(lateHitRate)}`),
    ];
  });
  return [
    `${model}: ${layers} layers of ${experts} experts, ${topK} a row; ${steps} steps, ${rows} rows`,
    `without slots ${(uncachedLoads / steps).toFixed(1)} loads a step`,
    "hit rate in %: all steps from a cold start / the second half of the steps",
    ...aligned([["residency", "slots", ...policies], ...body]),
  ].join("\n");
}

function percent(share: number): string {
  return (100 * share).toFixed(1).padStart(5);
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) => row.map((cell, column) => cell.padStart(widths[column]!)).join("  "));
}
