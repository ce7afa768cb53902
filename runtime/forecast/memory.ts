/** The formulas behind the rows of a memory plan. @module */
import { KV_FORMATS } from "../../shaders/common/kv_format.ts";
import type { MemoryPlan, PlanInput } from "../plan.ts";
import { decimal } from "./derived.ts";
import type { PlanChoice } from "../plan_input.ts";
import type { Subject } from "./subject.ts";

/** A formula for each row of the plan, by its purpose, and for what the KV room means. */
export function memoryFormulas(
  { subject: { config }, choice }: { readonly subject: Subject; readonly choice: PlanChoice },
  input: Omit<PlanInput, "budget">,
  plan: MemoryPlan,
): Readonly<Record<string, string>> {
  const { attention, delta, layers, layerKinds } = config;
  const channels = 2 * delta.keyHeads * delta.keyDim + delta.valueHeads * delta.valueDim;
  const linear = layerKinds.filter((kind) => kind === "linear").length;
  const tokens = plan.kvPages * input.pageTokens;
  const formulas: Record<string, string> = {
    trunk: `all tensors but routed experts and embedding table, vectors as f32` +
      (choice.head === "int8" ? ", the head as int8" : ""),
    embedding: "its table, so that the next token need not wait for the host",
    activations: `buffers of a step of up to ${choice.chunkRows} rows, logits of 16`,
    states:
      `${
        plan.stateSlots / choice.maxSequences
      } x ${choice.maxSequences} sequences x ${linear} DeltaNet layers x ` +
      `(${delta.valueHeads} x ${delta.keyDim} x ${delta.valueDim} + ${delta.convKernel} x ` +
      `${channels}) x 4 bytes`,
    KV:
      `${tokens} tokens x ${layers - linear} attention layers x 2 x ${attention.kvHeads} heads x ` +
      `${attention.headDim} x ${KV_FORMATS[choice.kv].elementBytes} bytes`,
    experts: input.experts
      ? `${plan.expertSlots} of ${input.experts.count} slots in each layer: (budget - all above) / ` +
        `(${layers} layers x ${decimal(input.experts.stride)}), at most ${input.experts.count}`
      : "",
    room: roomFor(choice.maxSequences, tokens, plan.contextLength),
  };
  const shown = new Set(["room", ...plan.rows.map(([purpose]) => purpose)]);
  return Object.fromEntries(Object.entries(formulas).filter(([purpose]) => shown.has(purpose)));
}

function roomFor(sequences: number, tokens: number, context: number): string {
  const each = Math.floor(tokens / sequences);
  if (each >= context) {
    return `every one of ${sequences} sequences can be ${context} tokens long`;
  }
  return `KV has room for ${tokens} tokens: one sequence of ${context} beside short ones, or ` +
    `${sequences} of ${each}; what finds no room waits or is computed again`;
}
