/** Pairs (row, rank) of a step sorted by expert, for the kernels that multiply many rows. @module */
import { STEP_WGSL } from "../common/step.ts";
import type { Grid, KernelSpec } from "../kernel_spec.ts";
import count from "./count.wgsl" with { type: "text" };
import groups from "./groups.wgsl" with { type: "text" };
import sizes from "./sizes.wgsl" with { type: "text" };
import tiles from "./tiles.wgsl" with { type: "text" };

/** WGSL text of the layout of the `groups` buffer; it needs `SIZES_WGSL`. */
export const GROUPS_WGSL: string = groups;

/** WGSL text of the `sizes` uniform. */
export const SIZES_WGSL: string = sizes;

/** What the `groups` buffer must hold. */
export interface GroupShape {
  readonly experts: number;
  readonly topK: number;
  /** Largest number of rows of a step. */
  readonly maxRows: number;
}

/** Pairs of one expert that a workgroup takes together. */
export const TILE_PAIRS = 16;

/** Bytes of the `groups` buffer. */
export function groupBytes({ experts, topK, maxRows }: GroupShape): number {
  const tiles = experts + Math.floor(maxRows * topK / TILE_PAIRS);
  return 4 * (1 + experts + 3 * tiles + experts * maxRows);
}

/** As many tiles as the pairs of `rows` rows can make: every expert may have one that is not full. */
export function mostTiles({ experts, topK }: GroupShape, rows: number): number {
  return Math.min(experts, rows * topK) + Math.floor(rows * topK / TILE_PAIRS);
}

/** Lists the pairs of each expert: ids u32 [rows, topK] into `groups`; `sizes` as the experts' kernels. */
export function groupPairs(): KernelSpec {
  return {
    name: "group_pairs",
    source: STEP_WGSL + SIZES_WGSL + GROUPS_WGSL + count,
    bindings: { step: "read", ids: "read", groups: "read_write", sizes: "uniform" },
    constants: {},
  };
}

/** One workgroup an expert. */
export function groupPairsGrid({ experts }: GroupShape): Grid {
  return [experts, 1, 1];
}

/** Cuts the lists of the experts that `table` gives a slot into tiles, in `groups`; one workgroup. */
export function groupTiles(): KernelSpec {
  return {
    name: "group_tiles",
    source: STEP_WGSL + SIZES_WGSL + GROUPS_WGSL + tiles,
    bindings: { step: "read", table: "read", groups: "read_write", sizes: "uniform" },
    constants: {},
  };
}
