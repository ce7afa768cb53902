/** The memory plan of an open snapshot on an open device. @module */
import { largestStep, planInput } from "../plan_input.ts";
import type { StepBounds } from "../model/scratch.ts";
import { type MemoryPlan, PlanError, planMemory, size } from "../plan.ts";
import { readBudget } from "./budget.ts";
import type { Site } from "./site.ts";

/** What was planned. */
export interface ModelPlan {
  readonly memory: MemoryPlan;
  readonly bounds: StepBounds;
  /** Bytes of weights that are placed at start. */
  readonly trunkBytes: number;
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
  const everything = planMemory({ ...input, budget: Infinity }).total;
  const memory = planMemory({
    ...input,
    budget: await readBudget(gpu, options.vram, everything),
  });
  if (options.residency === "resident" && !memory.allResident) {
    throw new PlanError(
      `Cannot keep every expert on the GPU: ${
        size(memory.budget)
      } leave ${memory.expertSlots} of ` +
        `${input.experts!.count} slots in a layer, all take ${size(everything)} in all; ` +
        `raise --vram or let --residency be auto`,
    );
  }
  const bounds = { ...largestStep(config, choice), maxContext: memory.contextLength };
  return { memory, bounds, trunkBytes: input.trunk };
}
