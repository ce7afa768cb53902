/** Pairs (row, rank) of a step sorted by expert, for the kernels that multiply many rows. @module */
import { STEP_WGSL } from "../common/step.ts";
import type { Grid, KernelSpec } from "../kernel_spec.ts";
import { CHUNKS_WGSL, MOST_CHUNKS, type TileOp } from "./chunks.ts";
import count from "./count.wgsl" with { type: "text" };
import groups from "./groups.wgsl" with { type: "text" };
import sizes from "./sizes.wgsl" with { type: "text" };
import tiles from "./tiles.wgsl" with { type: "text" };

/** WGSL text of the layout of the `groups` buffer; it needs `SIZES_WGSL` and `CHUNKS_WGSL`. */
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
  return 4 * (9 * MOST_CHUNKS + experts + 3 * tiles + experts * maxRows);
}

/** As many tiles as the pairs of `rows` rows can make in so many slots: the expert of each may have one that is not full. */
export function mostTiles(
  { experts, topK, slots }: Pick<GroupShape, "experts" | "topK"> & { readonly slots: number },
  rows: number,
): number {
  return Math.min(experts, slots, rows * topK) + Math.floor(rows * topK / TILE_PAIRS);
}

/** Where the grid of a chunk's kernel starts in `groups`, in bytes. */
export function tileGridOffset(chunk: number, op: TileOp): number {
  return 4 * (MOST_CHUNKS + 4 * (2 * chunk + Number(op === "down")));
}

/** Lists the pairs of each expert: ids u32 [rows, topK] into `groups`; `sizes` as the experts' kernels. */
export function groupPairs(): KernelSpec {
  return {
    name: "group_pairs",
    source: STEP_WGSL + SIZES_WGSL + CHUNKS_WGSL + GROUPS_WGSL + count,
    bindings: { step: "read", ids: "read", groups: "read_write", sizes: "uniform" },
    constants: {},
  };
}

/** One workgroup an expert. */
export function groupPairsGrid({ experts }: GroupShape): Grid {
  return [experts, 1, 1];
}

/**
 * Cuts the lists of the experts that `table` gives a slot into tiles, in `groups`; `pool` of `chunkSizes`, with the workgroups of
 * a tile as in the grids of the kernels. One workgroup.
 */
export function groupTiles(): KernelSpec {
  return {
    name: "group_tiles",
    source: STEP_WGSL + SIZES_WGSL + CHUNKS_WGSL + GROUPS_WGSL + tiles,
    bindings: {
      step: "read",
      table: "read",
      groups: "read_write",
      sizes: "uniform",
      pool: "uniform",
    },
    constants: {},
  };
}
