/** The routed experts of a step: down(silu(gate x) * up x) for every (row, rank). @module */
import { expertLayout } from "../common/expert_layout.ts";
import { type FormatName, FORMATS, UNIT } from "../common/formats.ts";
import gemm from "../common/gemm.wgsl" with { type: "text" };
import { SILU_WGSL } from "../common/silu.ts";
import { STEP_WGSL } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import downFew from "./down_few.wgsl" with { type: "text" };
import downMany from "./down_many.wgsl" with { type: "text" };
import gateUpFew from "./gate_up_few.wgsl" with { type: "text" };
import gateUpMany from "./gate_up_many.wgsl" with { type: "text" };
import { groupConstants, GROUPS_WGSL, type GroupShape, mostTiles } from "./groups.ts";
import slot from "./slot.wgsl" with { type: "text" };

/** The experts in one chunk of a slot pool. */
export interface ExpertShape {
  readonly format: FormatName;
  /** A multiple of 16. */
  readonly hidden: number;
  /** A multiple of 16. */
  readonly dff: number;
  readonly topK: number;
  /** The chunk's slots: only pairs whose expert lies in one of them are computed. */
  readonly firstSlot: number;
  readonly slots: number;
}

/** Lanes that share the rows of one expert's matrix. */
const LANES = 16;

/** Pairs in a tile of the "many" kernels, and outputs of a workgroup. */
const TILE_OUTPUTS = 64;

/**
 * act[row, rank] = silu(gate x[row]) * up x[row] of expert ids[row, rank], for a few rows. Buffers: ids u32
 * [rows, topK], table u32 [experts] (slot or NONE), codes and scales both the chunk's buffer, x f32 [rows, hidden],
 * act f32 [rows, topK, dff].
 * @throws {RangeError} for sizes that are no multiples of 16
 */
export function gateUpFewExperts(shape: ExpertShape): KernelSpec {
  return {
    name: `gate_up_few_${shape.format}`,
    source: STEP_WGSL + FORMATS[shape.format].snippet + slot + SILU_WGSL + gateUpFew,
    bindings: { step: "read", ids: "read", ...WEIGHTS, x: "read", act: "read_write" },
    constants: { ...slotConstants(shape), LANES },
  };
}

/** The grid of `gateUpFewExperts`. */
export function gateUpFewGrid({ dff, topK }: ExpertShape, step: StepShape): Grid {
  return [ceilDiv(dff, 128 / LANES), step.rows * topK, 1];
}

/** y[row, rank] = down act[row, rank], for a few rows; y f32 [rows, topK, hidden], the rest as `gateUpFewExperts`. */
export function downFewExperts(shape: ExpertShape): KernelSpec {
  return {
    name: `down_few_${shape.format}`,
    source: STEP_WGSL + FORMATS[shape.format].snippet + slot + downFew,
    bindings: { step: "read", ids: "read", ...WEIGHTS, act: "read", y: "read_write" },
    constants: { ...slotConstants(shape), LANES },
  };
}

/** The grid of `downFewExperts`. */
export function downFewGrid({ hidden, topK }: ExpertShape, step: StepShape): Grid {
  return [ceilDiv(hidden, 256 / LANES), step.rows * topK, 1];
}

/** As `gateUpFewExperts` for many rows, whose pairs `groupPairs` and `groupTiles` have put into `groups`. */
export function gateUpManyExperts(shape: ExpertShape, groups: GroupShape): KernelSpec {
  return {
    name: `gate_up_many_${shape.format}`,
    source: STEP_WGSL + FORMATS[shape.format].snippet + slot + GROUPS_WGSL + gemm + SILU_WGSL +
      gateUpMany,
    bindings: { step: "read", groups: "read", ...WEIGHTS, x: "read", act: "read_write" },
    constants: { ...slotConstants(shape), ...groupConstants(groups) },
  };
}

/** The grid of `gateUpManyExperts`: as many tiles as there can be; those that there are not return at once. */
export function gateUpManyGrid({ dff }: ExpertShape, groups: GroupShape, step: StepShape): Grid {
  return [ceilDiv(dff, TILE_OUTPUTS / 2), mostTiles(groups, step.rows), 1];
}

/** As `downFewExperts` for many rows. */
export function downManyExperts(shape: ExpertShape, groups: GroupShape): KernelSpec {
  return {
    name: `down_many_${shape.format}`,
    source: STEP_WGSL + FORMATS[shape.format].snippet + slot + GROUPS_WGSL + gemm + downMany,
    bindings: { step: "read", groups: "read", ...WEIGHTS, act: "read", y: "read_write" },
    constants: { ...slotConstants(shape), ...groupConstants(groups) },
  };
}

/** The grid of `downManyExperts`. */
export function downManyGrid({ hidden }: ExpertShape, groups: GroupShape, step: StepShape): Grid {
  return [ceilDiv(hidden, TILE_OUTPUTS), mostTiles(groups, step.rows), 1];
}

const WEIGHTS = { table: "read", codes: "read", scales: "read" } as const;

function slotConstants(shape: ExpertShape): Record<string, number> {
  const { format, hidden, dff, topK, firstSlot, slots } = shape;
  if (hidden % UNIT || dff % UNIT) {
    throw new RangeError(
      `Cannot compute experts of ${hidden} x ${dff}: expected multiples of ${UNIT}`,
    );
  }
  const layout = expertLayout({ hidden, dff, format });
  const { unitBytes } = FORMATS[format];
  return {
    HIDDEN: hidden,
    DFF: dff,
    TOP_K: topK,
    FIRST_SLOT: firstSlot,
    SLOTS: slots,
    SLOT_UNITS: layout.stride / unitBytes,
    SLOT_SCALES: layout.stride / 2,
    UP_UNITS: layout.up.offset / unitBytes,
    DOWN_UNITS: layout.down.offset / unitBytes,
    GATE_SCALES: (layout.gateScale?.offset ?? 0) / 2,
    UP_SCALES: (layout.upScale?.offset ?? 0) / 2,
    DOWN_SCALES: (layout.downScale?.offset ?? 0) / 2,
  };
}
