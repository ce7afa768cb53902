/** What a step of a model moves and computes, in bytes and operations, kernel by kernel. @module */
import type { PlanInput } from "../plan.ts";
import { type PlanChoice, sharedHasSlot } from "../plan_input.ts";
import type { Subject } from "./subject.ts";

/** The matrices that every row is multiplied with, bytes of those with 8 and with 16 bits or more a weight. */
export interface MatrixBytes {
  readonly narrow: number;
  readonly wide: number;
  /** Of these the head's: only rows that are sampled take it. */
  readonly head: { readonly narrow: number; readonly wide: number };
}

/** Matrices of the trunk; small vectors count as wide. A shared expert with a slot is none of them. */
export function matrixBytes(
  { config, tensors }: Pick<Subject, "config" | "tensors">,
  { trunk, experts }: Pick<PlanInput, "trunk" | "experts">,
  { head: format }: Pick<PlanChoice, "head">,
): MatrixBytes {
  const slotted = sharedHasSlot(config, tensors);
  const headName = config.tiedEmbeddings ? "embed_tokens.weight" : "lm_head.weight";
  let [narrow, head] = [0, { narrow: 0, wide: 0 }];
  for (const { name, dtype, shape, byteLength } of tensors) {
    if (/^(mtp|model\.visual)\./.test(name) || name.includes(".mlp.experts.")) continue;
    if (slotted && name.includes(".mlp.shared_expert.")) continue;
    if (name.endsWith(headName)) {
      const codes = shape.reduce((count, length) => count * length, 1);
      head = format === "int8" || dtype === "F8_E4M3"
        ? { narrow: codes, wide: 0 }
        : { narrow: 0, wide: byteLength };
      narrow += head.narrow;
    } else if (dtype === "F8_E4M3") narrow += byteLength;
  }
  const all = trunk - (slotted ? experts!.layers * experts!.stride : 0);
  return { narrow, wide: Math.max(head.wide, all - narrow), head };
}

/** Experts beside the routed ones that every row takes out of a slot, in each layer. */
export function sharedSlots({ config, tensors }: Pick<Subject, "config" | "tensors">): number {
  return sharedHasSlot(config, tensors) ? 1 : 0;
}

/** Operations of one token's products with the experts of all layers, the shared one among them if it has a slot. */
export function expertFlops({ config, tensors }: Pick<Subject, "config" | "tensors">): number {
  const { mlp, hidden, layers } = config;
  if (mlp.kind === "dense") return 0;
  return 6 * layers * (mlp.topK + sharedSlots({ config, tensors })) * hidden * mlp.dff;
}

/** Operations of one token in the recurrent states: three products of keyDim x valueDim, a multiply-add counts as two. */
export function deltaFlops({ config: { delta, layerKinds } }: Pick<Subject, "config">): number {
  const layers = layerKinds.filter((kind) => kind === "linear").length;
  return 6 * layers * delta.valueHeads * delta.keyDim * delta.valueDim;
}

/** Operations of one token that attends to `context` others. */
export function attentionFlops(
  { config: { attention, layerKinds } }: Pick<Subject, "config">,
  context: number,
): number {
  const layers = layerKinds.filter((kind) => kind === "full").length;
  return 4 * layers * attention.heads * attention.headDim * context;
}
