/** A run of the engine at one budget. @module */
import type { Rates } from "../../runtime/forecast/measure.ts";
import type { Subject } from "../../runtime/forecast/subject.ts";
import type { OpenedEngine } from "../../runtime/open.ts";
import type { Residency } from "../../runtime/options.ts";
import type { PlanChoice } from "../../runtime/plan_input.ts";
import type { Workload } from "./workload.ts";

/** What a budget's run goes by beside the report's options. */
export interface BudgetRun {
  /** As `serve --vram`; null: everything resident. */
  readonly budget: string | null;
  readonly residency: Residency;
  /** Variant of the matrix kernels: that of all budgets. */
  readonly kernels: string;
  /** Measured before; null if that failed. */
  readonly rates: Rates | null;
  /** Seconds of a step with everything resident, where that ran. */
  readonly residentStep: number | null;
  /** Log-probabilities of the same prompt at the first budget that ran. */
  readonly logprobs: readonly number[] | null;
  /** Whether the pages of the snapshot are thrown out of memory before. */
  readonly cold: boolean;
  /** When the run is stopped, on the clock of `performance`. */
  readonly untilMs: number;
}

/** An engine that runs, with what its lines are made from. */
export interface OpenRun extends BudgetRun {
  /** For people. */
  readonly name: string;
  readonly subject: Subject;
  readonly engine: OpenedEngine;
  readonly workload: Workload;
  readonly choice: PlanChoice;
  /** Whether shaders run on the CPU. */
  readonly software: boolean;
}
