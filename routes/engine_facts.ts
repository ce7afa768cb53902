/** How the engine runs on this machine, by the names that /v1/models and /metrics share. @module */
import { z } from "@hono/zod-openapi";
import type { ModelInfo } from "../runtime/mod.ts";

/** What an operator looks for: chosen at start, the same until the end. */
export const engineFacts = z.object({
  adapter: z.string(),
  software: z.boolean().openapi({ description: "Whether shaders run on the CPU" }),
  kernels: z.string().optional().openapi({
    description: "The variant of the matrix kernels, as --kernels names it",
  }),
  residency: z.enum(["resident", "host", "paged"]).optional().openapi({
    description: "Where the routed experts live, as --residency names it",
  }),
  expert_slots: z.int().optional().openapi({
    description: "Slots for routed experts in each layer",
  }),
  expert_io: z.string().optional().openapi({
    description: "How experts are read, as --expert-io names it",
  }),
  memory_budget: z.int().optional().openapi({
    description: "Bytes of GPU memory that were planned with",
  }),
});

/** The facts that hold; a dense model has none about experts. */
export function engineFactsOf(model: ModelInfo): z.infer<typeof engineFacts> {
  const { adapter, software, kernels, residency, expertSlots, expertIo, memoryBudget } = model;
  return {
    adapter,
    software,
    ...(kernels === undefined ? {} : { kernels }),
    ...(residency === undefined ? {} : { residency }),
    ...(expertSlots === undefined ? {} : { expert_slots: expertSlots }),
    ...(expertIo === undefined ? {} : { expert_io: expertIo }),
    ...(memoryBudget === undefined ? {} : { memory_budget: memoryBudget }),
  };
}
