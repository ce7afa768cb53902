/** The routed experts of a layer: their sizes as data, and the last projection of one row with the sum over its ranks. @module */
import { type ExpertFormat, expertLayout } from "../common/expert_layout.ts";
import { type FormatName, FORMATS, UNIT } from "../common/formats.ts";
import { floatBits } from "../common/float_bits.ts";
import {
  cutConstants,
  PRODUCT_THREADS,
  type ProductCut,
  productsWgsl,
  rowsOfCut,
} from "../common/products.ts";
import { STEP_WGSL } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import downSum from "./down_sum.wgsl" with { type: "text" };
import experts from "./experts.wgsl" with { type: "text" };
import { type GroupShape, SIZES_WGSL } from "./groups.ts";

/** The experts in one chunk of a slot pool. */
export interface ExpertShape extends GroupShape {
  readonly format: ExpertFormat;
  /** A multiple of 16. */
  readonly hidden: number;
  /** A multiple of 16. */
  readonly dff: number;
  /** The chunk's slots: only pairs whose expert lies in one of them are computed. */
  readonly firstSlot: number;
  readonly slots: number;
  /** The chunk's place among those of the pool; 0 unless said. */
  readonly chunk?: number;
  /** Whether other chunks of the pool follow; not unless said. */
  readonly moreChunks?: boolean;
  /** x is scaled but not yet normed (few rows). */
  readonly norm?: { readonly parts: number; readonly epsilon: number };
  /** Parts of the squares of the rows of h, in `downSumExperts`. */
  readonly nextParts?: number;
}

/** How many ranks a workgroup of `downSumExperts` holds at a time, at most: bounded by workgroup memory. */
const MOST_HELD = 12;
/** Most columns of one of its workgroups. */
const MOST_COLUMNS = 64;

/**
 * h[row] += sum_rank weights[row, rank] down x[row, rank], with a cut of one row: ids u32 [rows, topK]; table u32 [experts] (slot or
 * NONE); codes and scales both the chunk's buffer; `sizes` of `expertSizes`; x is `act`, f32 [rows, topK, dff]; weights f32 [rows, topK]; h f32 [rows, hidden]; `outputs` f32 [rows, topK,
 * hidden] keeps what other chunks or waves computed; then the first half of the norm that follows: norm f32 [hidden],
 * scaled f32 [rows, hidden], squares f32 [rows, nextParts] of `rowsOfCut` elements each. `parallel`: every rank has threads of its own.
 * @throws {RangeError} for another cut than one row, 8 outputs and at most 64 rows of W
 */
export function downSumExperts(
  format: FormatName,
  cut: ProductCut,
  { topK, parallel }: { readonly topK: number; readonly parallel: boolean },
): KernelSpec {
  if (cut.tile !== 1 || cut.outputs !== 8 || rowsOfCut(cut) > MOST_COLUMNS) {
    throw new RangeError(
      `Cannot sum experts with a cut of ${cut.tile} x ${cut.outputs} and ${cut.lanes} lanes: expected 1 x 8 and at least 4`,
    );
  }
  const held = Math.min(topK, MOST_HELD);
  // A workgroup has a thread for each of its columns.
  const teams = Math.max(parallel ? held : 1, rowsOfCut(cut) / PRODUCT_THREADS);
  const { PARTIAL = 0, ...constants } = cutConstants(cut);
  return {
    name: `down_sum_${format}`,
    source: STEP_WGSL + FORMATS[format].snippet + productsWgsl(cut) + SIZES_WGSL + experts +
      downSum,
    bindings: {
      step: "read",
      ids: "read",
      table: "read",
      codes: "read",
      scales: "read",
      x: "read",
      weights: "read",
      outputs: "read_write",
      h: "read_write",
      norm: "read",
      scaled: "read_write",
      squares: "read_write",
      sizes: "uniform",
    },
    constants: {
      ...constants,
      // A team that finds no rank left has a place nevertheless.
      PARTIAL: PARTIAL * Math.ceil(held / teams) * teams,
      TEAMS: teams,
      HELD: held,
      TEAM_THREADS: teams * PRODUCT_THREADS,
    },
  };
}

/** The grid of `downSumExperts`. */
export function downSumGrid(shape: ExpertShape, cut: ProductCut, step: StepShape): Grid {
  return [ceilDiv(shape.hidden, rowsOfCut(cut)), step.rows, 1];
}

/**
 * The words of the `sizes` uniform.
 * @throws {RangeError} for sizes that are no multiples of 16
 */
export function expertSizes(shape: ExpertShape): number[] {
  const { format, hidden, dff } = shape;
  if (hidden % UNIT || dff % UNIT) {
    throw new RangeError(
      `Cannot compute experts of ${hidden} x ${dff}: expected multiples of ${UNIT}`,
    );
  }
  const layout = expertLayout({ hidden, dff, format });
  const { unitBytes } = FORMATS[format];
  return [
    hidden,
    dff,
    shape.topK,
    shape.experts,
    shape.maxRows,
    shape.firstSlot,
    shape.slots,
    layout.stride / unitBytes,
    layout.stride / 2,
    layout.gate.offset / unitBytes,
    layout.up.offset / unitBytes,
    layout.down.offset / unitBytes,
    (layout.gateScale?.offset ?? 0) / 2,
    (layout.upScale?.offset ?? 0) / 2,
    (layout.downScale?.offset ?? 0) / 2,
    Number(!shape.moreChunks),
    shape.norm?.parts ?? 0,
    floatBits(shape.norm?.epsilon ?? 0),
    shape.nextParts ?? 0,
    shape.chunk ?? 0,
  ];
}

/** WGSL text of what the kernels for few and for many rows share; it needs `SIZES_WGSL`. */
export const EXPERTS_WGSL: string = experts;
