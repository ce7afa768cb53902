/**
 * The routed experts of a step of up to 16 rows: an expert is read once for up to four rows, and a row has the same bits alone
 * and among others. One row finds its experts itself; several are first cut into tiles of pairs (row, rank) by expert.
 * @module
 */
import { type FormatName, FORMATS } from "../common/formats.ts";
import {
  lanesWgsl,
  PRODUCT_THREADS,
  type ProductCut,
  ROW_FACTOR_WGSL,
} from "../common/products.ts";
import { SILU_WGSL } from "../common/silu.ts";
import { STEP_WGSL } from "../common/step.ts";
import type { ProductVariant } from "../common/variants.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import { CHUNKS_WGSL, chunkSizes, MOST_CHUNKS, type TileOp } from "./chunks.ts";
import alone from "./few_alone.wgsl" with { type: "text" };
import down from "./few_down.wgsl" with { type: "text" };
import gateUp from "./few_gate_up.wgsl" with { type: "text" };
import layout from "./few_layout.wgsl" with { type: "text" };
import list from "./few_list.wgsl" with { type: "text" };
import products from "./few_products.wgsl" with { type: "text" };
import sum from "./few_sum.wgsl" with { type: "text" };
import tiles from "./few_tiles.wgsl" with { type: "text" };
import { SIZES_WGSL } from "./groups.ts";
import { EXPERTS_WGSL, type ExpertShape } from "./moe_experts.ts";

/** Most rows of a step that these kernels take. */
export const MOST_FEW_ROWS = 16;

/** Pairs that share one reading of an expert. */
const TILE = 4;
/** Words of a tile, and before them: as in few_layout.wgsl. */
const TILE_WORDS = 8;
const HEAD_WORDS = 18 * MOST_CHUNKS;
/** Threads of a workgroup of `sumExperts`. */
const SUM_THREADS = 8;

/** The cut of these kernels: sums have the order of a product with as many lanes, reduced alike. */
export interface FewCut extends Pick<ProductCut, "lanes" | "reduce"> {
  /** Blocks of eight rows of W that a thread multiplies at a time: 1 or 2. */
  readonly blocks: number;
}

/** The cut of a variant. */
export function fewCut({ lanes, outputs, reduce }: ProductVariant): FewCut {
  return { lanes, reduce, blocks: outputs / 8 };
}

/** Bytes of the `list` buffer. */
export function fewListBytes({ topK }: Pick<ExpertShape, "topK">): number {
  return 4 * (HEAD_WORDS + TILE_WORDS * MOST_FEW_ROWS * topK);
}

/** Lists the tiles of a step of several rows: ids u32 [rows, topK], table u32 [experts] (slot or NONE), `sizes` of `fewListSizes`. */
export function listFewTiles({ topK }: Pick<ExpertShape, "topK">): KernelSpec {
  return {
    name: "few_list",
    source: STEP_WGSL + CHUNKS_WGSL + layout + list,
    bindings: { step: "read", ids: "read", table: "read", list: "read_write", sizes: "uniform" },
    constants: { TILE, MOST_PAIRS: MOST_FEW_ROWS * topK },
  };
}

/**
 * The words of the uniform of `listFewTiles`, for the chunks of a pool in their order.
 * @throws {RangeError} for more chunks than there is room for
 */
export function fewListSizes(
  shape: Pick<ExpertShape, "topK" | "hidden" | "dff">,
  cut: FewCut,
  chunks: readonly { readonly firstSlot: number; readonly slots: number }[],
): number[] {
  const groups = { gateUp: gateUpGroups(shape, cut), down: downGroups(shape, cut) };
  return chunkSizes({ topK: shape.topK, groups }, chunks);
}

/**
 * What a kernel takes: the ranks of a single row; all tiles of the list; or of those either the ones of one pair or the others.
 */
export type FewRows = "one" | "several" | "alone" | "shared";

/** Where the grid of a kernel starts in `list`, in bytes: the grids of "alone" and "shared" alone are there. */
export function fewGridOffset(chunk: number, rows: "alone" | "shared", op: TileOp): number {
  const kind = 2 * chunk + Number(rows === "shared");
  return 4 * (2 * MOST_CHUNKS + 4 * (2 * kind + Number(op === "down")));
}

/**
 * act[row, rank] = silu(gate x[row]) * up x[row] of the experts that lie in one chunk of the pool. Buffers: ids u32 [topK] for
 * one row, `list` of `listFewTiles` for several; table u32 [experts]; codes and scales both the chunk's buffer; x f32
 * [rows, hidden]; act f32 [rows, topK, dff]; squares f32 [rows, parts] where the shape has a norm (else any); `sizes` of
 * `expertSizes`.
 */
export function fewGateUp(format: FormatName, rows: FewRows, cut: FewCut): KernelSpec {
  const gatherers = cut.lanes === PRODUCT_THREADS ? PRODUCT_THREADS : 1;
  return {
    name: `few_gate_up_${format}_${rows}`,
    source: sourceOf(format, rows, cut) + ROW_FACTOR_WGSL + SILU_WGSL + gateUp,
    bindings: {
      ...bindingsOf(rows),
      x: "read",
      act: "read_write",
      squares: "read",
      sizes: "uniform",
    },
    constants: {
      ...constantsOf(rows, cut),
      GATHERERS: gatherers,
      FACTOR_PARTS: gatherers === 1 ? 1 : PRODUCT_THREADS * (rows === "one" ? 1 : MOST_FEW_ROWS),
    },
  };
}

/**
 * The grid of `fewGateUp`. Tiles are its x: Mesa's CPU driver gives each core one stretch of y, where all should find as many
 * tiles that are there.
 */
export function fewGateUpGrid(shape: ExpertShape, cut: FewCut, step: StepShape): Grid {
  return [mostFewTiles(shape, step), gateUpGroups(shape, cut), 1];
}

/** y[row, rank] = down x[row, rank]; x is `act`, y f32 [rows, topK, hidden], the rest as `fewGateUp`. */
export function fewDown(format: FormatName, rows: FewRows, cut: FewCut): KernelSpec {
  return {
    name: `few_down_${format}_${rows}`,
    source: sourceOf(format, rows, cut) + down,
    bindings: { ...bindingsOf(rows), x: "read", y: "read_write", sizes: "uniform" },
    constants: constantsOf(rows, cut),
  };
}

/** The grid of `fewDown`. */
export function fewDownGrid(shape: ExpertShape, cut: FewCut, step: StepShape): Grid {
  return [mostFewTiles(shape, step), downGroups(shape, cut), 1];
}

/**
 * h[row] += sum over rank of weights[row, rank] y[row, rank], bit for bit as `downSumExperts`, with the first half of the norm
 * that follows: norm f32 [hidden], scaled f32 [rows, hidden], squares f32 [rows, nextParts] of `block` columns each.
 */
export function sumExperts(block: number): KernelSpec {
  return {
    name: "few_sum",
    source: STEP_WGSL + SIZES_WGSL + sum,
    bindings: {
      step: "read",
      y: "read",
      weights: "read",
      h: "read_write",
      norm: "read",
      scaled: "read_write",
      squares: "read_write",
      sizes: "uniform",
    },
    constants: { BLOCK: block },
  };
}

/** The grid of `sumExperts` with blocks of so many columns. */
export function sumExpertsGrid(
  { hidden }: Pick<ExpertShape, "hidden">,
  block: number,
  step: StepShape,
): Grid {
  return [ceilDiv(hidden, SUM_THREADS * block), step.rows, 1];
}

function gateUpGroups({ dff }: Pick<ExpertShape, "dff">, cut: FewCut): number {
  return ceilDiv(dff, rowsOf(cut) / 2);
}

function downGroups({ hidden }: Pick<ExpertShape, "hidden">, cut: FewCut): number {
  return ceilDiv(hidden, rowsOf(cut));
}

function sourceOf(format: FormatName, rows: FewRows, cut: FewCut): string {
  return STEP_WGSL + FORMATS[format].snippet + SIZES_WGSL + CHUNKS_WGSL + EXPERTS_WGSL + layout +
    lanesWgsl(cut) +
    products +
    (rows === "one" ? alone : tiles);
}

function bindingsOf(rows: FewRows): KernelSpec["bindings"] {
  return {
    step: "read",
    ...(rows === "one" ? { ids: "read" } : { list: "read" }),
    table: "read",
    codes: "read",
    scales: "read",
  };
}

function constantsOf(rows: FewRows, { lanes, blocks }: FewCut): Record<string, number> {
  const tile = rows === "one" || rows === "alone" ? 1 : TILE;
  return {
    LANES: lanes,
    BLOCKS: blocks,
    TILE: tile,
    MIXED: Number(rows === "several"),
    PARTIAL: PRODUCT_THREADS * 2 * blocks * tile,
    ...(rows === "one"
      ? {}
      : { FIRST_KIND: Number(rows === "shared"), LAST_KIND: Number(rows !== "alone") }),
  };
}

/** Rows of W of one workgroup. */
function rowsOf({ lanes, blocks }: FewCut): number {
  return PRODUCT_THREADS / lanes * blocks * 8;
}

/** As many tiles as one chunk can have: the workgroups of those that it has not return at once. */
function mostFewTiles({ topK }: ExpertShape, { rows }: StepShape): number {
  return rows * topK;
}
