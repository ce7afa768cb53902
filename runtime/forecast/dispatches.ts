/** How many dispatches the steps of a model take, as the engine's own programs have them. @module */
import type { StepShape } from "../../shaders/kernel_spec.ts";
import type { MemoryPlan } from "../plan.ts";
import { expertFormat, type PlanChoice } from "../plan_input.ts";
import { expertLayout } from "../../shaders/common/expert_layout.ts";
import { DECODE_ROWS } from "../model/parts.ts";
import { countDispatches, type StepCounts } from "./blueprint.ts";
import type { Subject } from "./subject.ts";

/** An engine as far as it decides what is dispatched. */
export interface Dispatched {
  readonly subject: Pick<Subject, "config" | "tensors">;
  readonly choice: PlanChoice;
  readonly plan: Pick<MemoryPlan, "contextLength" | "expertSlots" | "kvPages" | "kvArenas">;
  /** Whether shaders run on the CPU. */
  readonly software: boolean;
  /** The device itself fills the slots of the experts. */
  readonly fills: boolean;
  /** Steps follow one another without the host. */
  readonly ahead: boolean;
}

/** Programs that were drawn are drawn once. */
const drawn = new WeakMap<Dispatched["subject"], Map<string, StepCounts>>();

/** Dispatches of one step. */
export function stepDispatches(engine: Dispatched, shape: StepShape): number {
  return countsOf(engine, shape.rows).step(shape);
}

/** Dispatches of the experts of one layer, which run again when a stop has brought some in. */
export function expertDispatches(engine: Dispatched, shape: StepShape): number {
  return countsOf(engine, shape.rows).experts(shape);
}

function countsOf(engine: Dispatched, rows: number): StepCounts {
  const { subject, choice, plan, software, fills, ahead } = engine;
  let known = drawn.get(subject);
  if (!known) drawn.set(subject, known = new Map());
  const slots = slotsThatCount(engine, rows);
  const { kvArenas } = plan;
  const { maxBinding, maxSequences, chunkRows, kv, head } = choice;
  const parts = { slots, kvArenas, software, fills, ahead };
  const key = JSON.stringify({ ...parts, maxBinding, maxSequences, chunkRows, kv, head });
  let counts = known.get(key);
  if (!counts) {
    const paper = { software, maxBinding };
    const drawnPlan = { ...plan, expertSlots: slots };
    known.set(key, counts = countDispatches({ ...engine, plan: drawnPlan, paper }));
  }
  return counts;
}

/** The fewest slots with the same programs: they decide how many buffers there are, and waves where the device fills them. */
function slotsThatCount({ subject, choice, plan, fills }: Dispatched, rows: number): number {
  const { config: { mlp, hidden }, tensors } = subject;
  const { expertSlots } = plan;
  if (mlp.kind === "dense") return expertSlots;
  const few = fills && rows > DECODE_ROWS ? mlp.experts : DECODE_ROWS * mlp.topK;
  if (fills && expertSlots < few) return expertSlots;
  const { stride } = expertLayout({ hidden, dff: mlp.dff, format: expertFormat(tensors) });
  const most = Math.floor(choice.maxBinding / stride);
  // A shared expert may take a slot more, so the last slots of a buffer are told apart.
  const last = Math.ceil(expertSlots / most) * most - 1;
  return expertSlots % most === 0 ? expertSlots : Math.min(mlp.experts, last);
}
