/** How the kernels for products of many rows are cut. @module */
import broadcast from "./tile_broadcast.wgsl" with { type: "text" };
import products from "./tile_products.wgsl" with { type: "text" };
import shared from "./tile_shared.wgsl" with { type: "text" };
import store from "./tile_store.wgsl" with { type: "text" };

/** Rows of x that one reading of the weights serves. */
export const TILE_ROWS = 16;

/** Rows of W that a thread multiplies. */
export const TILE_OUTPUTS = 8;

/** The cut of a product of many rows; it does not change the order of a sum. */
export interface TileCut {
  readonly threads: number;
  /** Whether threads tell each other elements of x, instead of going through workgroup memory. */
  readonly broadcast: boolean;
  /** Most workgroups that share the outputs of an expert's tile. */
  readonly along: number;
}

/** What decides how kernels are cut. */
export interface TileDevice {
  /** Whether shaders run on a CPU. */
  readonly software: boolean;
  /** Fewest threads of a subgroup; 0 where kernels may not use subgroups. */
  readonly subgroupSize: number;
}

/** Whether threads of a CPU can tell each other x: eight neighbours are always in one subgroup. */
export function canBroadcast({ software, subgroupSize }: TileDevice): boolean {
  return software && subgroupSize >= 8 && subgroupSize % 8 === 0;
}

/**
 * The cut for a device. A GPU shares x through workgroup memory; on a CPU that runs shaders a load costs as much as fifty
 * multiplications and a broadcast less than one, if its subgroups have at least 8 threads; and a workgroup that finds
 * nothing to do runs through its code all the same. Mesa's CPU driver gives each core one stretch of the grid, y by y: the
 * tiles of a pool's buffer, which lie side by side in x, have to be in more than one of them.
 */
export function tileCut(device: TileDevice): TileCut {
  return canBroadcast(device)
    ? { threads: 16, broadcast: true, along: 2 }
    : { threads: 64, broadcast: false, along: Infinity };
}

/** WGSL text of the inner part alone, with broadcasts: how rows are stored is the kernel's affair. */
export const BROADCAST_WGSL: string = broadcast + products;

/** WGSL text of the inner part; it needs a format's snippet and the kernel's `codes`, `x`, `Tile` and `row_start`. */
export function tileWgsl({ broadcast: broadcasts }: TileCut): string {
  return (broadcasts ? broadcast : shared) + products + store;
}

/** The override constants of a cut. */
export function tileConstants({ threads }: Pick<TileCut, "threads">): Record<string, number> {
  return { TILE_THREADS: threads };
}
