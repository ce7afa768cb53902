/** Test experts packed as slots, and pools of them on the GPU. @module */
import type { ExpertPool } from "../runtime/model/parts.ts";
import {
  type ExpertFormat,
  expertLayout,
  type ExpertPart,
} from "../shaders/common/expert_layout.ts";
import { NONE } from "../shaders/common/step.ts";
import type { ExpertWeights } from "../shaders/moe_experts/naive.ts";
import { place } from "./placed.ts";
import { testMatrix } from "./shaders/weights.ts";

/** Experts with the bytes of their slots. */
export interface TestExperts {
  readonly format: ExpertFormat;
  readonly stride: number;
  readonly slots: readonly Uint8Array[];
  readonly dense: readonly ExpertWeights[];
}

/** `count` different experts. */
export function testExperts(
  format: ExpertFormat,
  { hidden, dff, count }: { hidden: number; dff: number; count: number },
): TestExperts {
  const layout = expertLayout({ hidden, dff, format });
  const slots: Uint8Array[] = [];
  const dense: ExpertWeights[] = [];
  for (let expert = 0; expert < count; expert++) {
    const slot = new Uint8Array(layout.stride);
    const put = (part: ExpertPart, scale: ExpertPart | undefined, salt: number) => {
      const matrix = testMatrix(format, { n: part.rows, k: part.columns }, 100 * expert + salt);
      slot.set(new Uint8Array(matrix.codes.buffer, 0, part.byteLength), part.offset);
      if (scale) slot.set(new Uint8Array(matrix.scales.buffer, 0, scale.byteLength), scale.offset);
      return matrix.dense;
    };
    dense.push({
      gate: put(layout.gate, layout.gateScale, 10),
      up: put(layout.up, layout.upScale, 20),
      down: put(layout.down, layout.downScale, 30),
    });
    slots.push(slot);
  }
  return { format, stride: layout.stride, slots, dense };
}

/**
 * A pool with one slot an expert, in another order than the ids, cut into chunks of so many slots; with a shared
 * expert, the last of `experts`, in the last slot.
 */
export function placePool(
  experts: TestExperts,
  chunkSlots: readonly number[],
  shared = false,
): ExpertPool {
  const count = experts.slots.length - Number(shared);
  let firstSlot = 0;
  const chunks = chunkSlots.map((length, index) => {
    const slots = length + Number(shared && index === chunkSlots.length - 1);
    const bytes = new Uint8Array(slots * experts.stride);
    for (let i = 0; i < slots; i++) {
      const expert = firstSlot + i === count ? count : expertIn(firstSlot + i, count);
      bytes.set(experts.slots[expert]!, i * experts.stride);
    }
    const chunk = { firstSlot, slots, buffer: place(new Uint32Array(bytes.buffer)) };
    firstSlot += slots;
    return chunk;
  });
  return {
    format: experts.format,
    slots: count,
    chunks,
    table: place(slotTable(count, () => true, shared)),
    host: null,
  };
}

/** The table of a pool from `placePool` with the slots of the routed experts that `has` names, and the shared one's. */
export function slotTable(
  count: number,
  has: (expert: number) => boolean,
  shared = false,
): Uint32Array<ArrayBuffer> {
  const table = new Uint32Array(count + 1).fill(NONE);
  if (shared) table[count] = count;
  for (let slot = 0; slot < count; slot++) {
    const expert = expertIn(slot, count);
    if (has(expert)) table[expert] = slot;
  }
  return table;
}

function expertIn(slot: number, count: number): number {
  return count - 1 - slot;
}
