/** Paging by the GPU itself: which slots the experts of a step take, and their copies from host memory. @module */
import { STEP_WGSL } from "../common/step.ts";
import { NONE } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec } from "../kernel_spec.ts";
import fill from "./fill.wgsl" with { type: "text" };
import resolve from "./resolve.wgsl" with { type: "text" };

/** Experts of a layer, and its slots for them. */
export interface FillShape {
  readonly experts: number;
  /** At least `topK`. */
  readonly slots: number;
  /** Experts that the router chooses for a row. */
  readonly topK: number;
}

/** What `resolveExperts` counts, in this order: u32 words of its `counters`. */
export const FILL_COUNTERS = ["hits", "misses", "evictions", "waves"] as const;

/** Bytes of a unit of `fillExperts`. */
const UNIT_BYTES = 16;

/** Units that a workgroup of `fillExperts` copies. */
const BLOCK_UNITS = 1024;

/** Most experts of a layer: two counts of them share a word. */
const MOST_EXPERTS = 65535;

/**
 * Gives a wave of a step's experts their slots. Buffers: step; ids u32 [rows, topK + 1], the shared expert (id
 * `experts`) last; places and table u32 [experts + 1] (place in host memory, slot; or NONE); state u32 as
 * `resolveState`; fills u32 as `fillWords`; counters u32 [FILL_COUNTERS]; `sizes` from `resolveSizes`. Sets
 * `step.moreWaves`.
 * @throws {RangeError} for slots that do not hold one row's experts, or exceed the experts
 */
export function resolveExperts({ experts, slots, topK }: FillShape): KernelSpec {
  if (slots < topK || slots > experts || experts > MOST_EXPERTS) {
    throw new RangeError(
      `Cannot resolve ${experts} experts in ${slots} slots: expected ${topK} to ${experts} slots ` +
        `and at most ${MOST_EXPERTS} experts`,
    );
  }
  return {
    name: "moe_resolve",
    source: STEP_WGSL + resolve,
    bindings: {
      step: "read_write",
      ids: "read",
      places: "read",
      table: "read_write",
      state: "read_write",
      fills: "read_write",
      counters: "read_write",
      sizes: "uniform",
    },
    constants: { EXPERTS: experts, SLOTS: slots, RANKS: topK + 1 },
  };
}

/** The words of the `sizes` uniform of `resolveExperts`: the wave, and the shared expert's slot or null. */
export function resolveSizes(wave: number, sharedSlot: number | null): number[] {
  return [wave, sharedSlot ?? NONE];
}

/** Most waves of a step of so many rows: as many are to be recorded, the last one closes the sums. */
export function wavesOf({ experts, slots, topK }: FillShape, rows: number): number {
  return ceilDiv(Math.min(experts, rows * topK), slots);
}

/** A layer's state before its first step: clock, holder [slots], last use [slots], left over [experts]. */
export function resolveState({ experts, slots }: FillShape): Uint32Array<ArrayBuffer> {
  const state = new Uint32Array(1 + 2 * slots + experts);
  state[0] = slots; // free slots sort before used ones, by number
  state.fill(NONE, 1, 1 + slots);
  return state;
}

/** Words of `fills`: how many, then (place, slot) of each expert to be copied. */
export function fillWords({ slots }: Pick<FillShape, "slots">): number {
  return 1 + 2 * slots;
}

/** One part of host memory and one chunk of the slots. */
export interface FillPair {
  /** Bytes of an expert: a multiple of 16. */
  readonly stride: number;
  readonly firstPlace: number;
  readonly places: number;
  readonly firstSlot: number;
  readonly slots: number;
}

/**
 * Copies the experts of `fills` that lie in this part (`source`) and whose slots lie in this chunk (`slots`);
 * `sizes` from `fillSizes`.
 */
export function fillExperts(): KernelSpec {
  return {
    name: "moe_fill",
    source: STEP_WGSL + fill,
    bindings: {
      step: "read",
      fills: "read",
      source: "read",
      slots: "read_write",
      sizes: "uniform",
    },
    constants: {},
  };
}

/**
 * The words of the `sizes` uniform of `fillExperts`.
 * @throws {RangeError} for a stride that is no multiple of 16
 */
export function fillSizes({ stride, firstPlace, places, firstSlot, slots }: FillPair): number[] {
  if (stride % UNIT_BYTES) {
    throw new RangeError(
      `Cannot copy experts of ${stride} bytes: expected a multiple of ${UNIT_BYTES}`,
    );
  }
  return [stride / UNIT_BYTES, firstPlace, places, firstSlot, slots];
}

/** The grid of `fillExperts` for a step of so many rows: as many experts as can be missing. */
export function fillGrid(
  { experts, slots, topK }: FillShape,
  stride: number,
  rows: number,
): Grid {
  return [
    ceilDiv(stride / UNIT_BYTES, BLOCK_UNITS),
    Math.min(slots, experts, rows * topK),
    1,
  ];
}
