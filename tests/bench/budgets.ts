/** Budgets that leave so many slots to experts. @module */
import { planMemory } from "../../runtime/plan.ts";
import { planInput } from "../../runtime/plan_input.ts";
import { readSnapshotConfig } from "../../runtime/snapshot.ts";
import { openSnapshot } from "../../weights/mod.ts";
import { TEST_OPTIONS } from "../engine_fixture.ts";

/** The options of an engine that the budgets are for. */
export interface BudgetOptions {
  readonly maxBinding: number;
  readonly maxSequences: number;
  readonly context: number;
}

/**
 * Bytes with which the engine plans `slots` slots a layer.
 * @throws {RangeError} for a dense model
 */
export function budgetFor(folder: string, slots: number, options: BudgetOptions): number {
  const { config } = readSnapshotConfig(folder);
  const snapshot = openSnapshot(folder);
  const tensors = [...snapshot.names()].map((name) => snapshot.tensor(name));
  snapshot.close();
  const input = planInput(config, tensors, { ...TEST_OPTIONS, ...options });
  if (!input.experts) throw new RangeError(`Cannot page "${folder}": it has no experts`);
  const { layers, count, stride } = input.experts;
  return planMemory({ ...input, budget: Infinity }).total - (count - slots) * layers * stride;
}
