/** The memory plan of an open snapshot on an open device. @module */
import { largestStep, planInput } from "../plan_input.ts";
import type { StepBounds } from "../model/scratch.ts";
import { type MemoryPlan, PlanError, type PlanInput, planMemory, size } from "../plan.ts";
import { readBudget } from "./budget.ts";
import { aheadBound } from "./pace.ts";
import type { Site } from "./site.ts";

/** What was planned. */
export interface ModelPlan {
  readonly memory: MemoryPlan;
  readonly bounds: StepBounds;
  /** Bytes of weights that are placed at start. */
  readonly trunkBytes: number;
  /** Most decode steps that may be run ahead of the host; 1 where there is no room for more. */
  readonly ahead: number;
}

/**
 * Plans with the largest chunk that fits the device's bindings.
 * @throws {PlanError} if the budget is too small, also for all experts where they are to be resident
 * @throws {OptionError} if the budget cannot be read
 */
export async function planModel({ gpu, snapshot, config, options }: Site): Promise<ModelPlan> {
  const choice = { ...options, maxBinding: gpu.maxBinding };
  const tensors = Array.from(snapshot.names(), (name) => snapshot.tensor(name));
  const input = planInput(config, tensors, choice);
  const stored = planInput(config, tensors, { ...choice, head: "stored" });
  const wanted = aheadBound(options.runAhead, gpu.software);
  const further = planInput(config, tensors, { ...choice, ahead: wanted > 1 });
  const everything = planMemory({ ...further, budget: Infinity }).total;
  const budget = await readBudget(gpu, options.vram, everything);
  const plain = planMemory({ ...input, budget });
  const larger = wanted > 1 ? planAhead(further, plain) : null;
  const memory = larger ?? plain;
  if (options.residency === "resident" && !memory.allResident) {
    throw new PlanError(
      `Cannot keep every expert on the GPU: ${
        size(memory.budget)
      } leave ${memory.expertSlots} of ` +
        `${input.experts!.count} slots in a layer, all take ` +
        `${size(planMemory({ ...input, budget: Infinity }).total)} in all; ` +
        `raise --vram or let --residency be auto`,
    );
  }
  const bounds = { ...largestStep(config, choice), maxContext: memory.contextLength };
  return {
    memory,
    bounds,
    trunkBytes: stored.trunk + (larger ? further.ahead!.table : 0),
    ahead: larger ? wanted : 1,
  };
}

/** The plan with all that running ahead takes; null where it would cost experts, context or more than a binding. */
export function planAhead(input: Omit<PlanInput, "budget">, plain: MemoryPlan): MemoryPlan | null {
  const { budget, contextLength: context, allResident } = plain;
  if (!allResident) return null;
  const memory = planMemory({ ...input, context, budget: Infinity });
  const fits = memory.total <= budget &&
    memory.stateSlots * input.ahead!.stateBinding <= input.maxBinding;
  return fits ? { ...memory, budget } : null;
}
