/** Pairs (row, rank) of a step sorted by expert, for the kernels that multiply many rows. @module */
import { STEP_WGSL } from "../common/step.ts";
import type { Grid, KernelSpec } from "../kernel_spec.ts";
import count from "./count.wgsl" with { type: "text" };
import groups from "./groups.wgsl" with { type: "text" };
import tiles from "./tiles.wgsl" with { type: "text" };

/** WGSL text of the layout of the `groups` buffer. */
export const GROUPS_WGSL: string = groups;

/** What the `groups` buffer must hold. */
export interface GroupShape {
  readonly experts: number;
  readonly topK: number;
  /** Largest number of rows of a step. */
  readonly maxRows: number;
}

const TILE_PAIRS = 32;

/** Bytes of the `groups` buffer. */
export function groupBytes({ experts, topK, maxRows }: GroupShape): number {
  const tiles = experts + Math.floor(maxRows * topK / TILE_PAIRS);
  return 4 * (1 + experts + 3 * tiles + experts * maxRows);
}

/** As many tiles as the pairs of `rows` rows can make: every expert may have one that is not full. */
export function mostTiles({ experts, topK }: GroupShape, rows: number): number {
  return Math.min(experts, rows * topK) + Math.floor(rows * topK / TILE_PAIRS);
}

/** Lists the pairs of each expert: ids u32 [rows, topK] into `groups`. */
export function groupPairs(shape: GroupShape): KernelSpec {
  return {
    name: "group_pairs",
    source: STEP_WGSL + GROUPS_WGSL + count,
    bindings: { step: "read", ids: "read", groups: "read_write" },
    constants: { ...groupConstants(shape), TOP_K: shape.topK },
  };
}

/** One workgroup an expert. */
export function groupPairsGrid({ experts }: GroupShape): Grid {
  return [experts, 1, 1];
}

/** Cuts the lists of the experts that `table` gives a slot into tiles, in `groups`; one workgroup. */
export function groupTiles(shape: GroupShape): KernelSpec {
  return {
    name: "group_tiles",
    source: STEP_WGSL + GROUPS_WGSL + tiles,
    bindings: { step: "read", table: "read", groups: "read_write" },
    constants: { ...groupConstants(shape), TOP_K: shape.topK },
  };
}

/** The constants of groups.wgsl, without the top-k. */
export function groupConstants({ experts, maxRows }: GroupShape): Record<string, number> {
  return { EXPERTS: experts, CAPACITY: maxRows };
}
