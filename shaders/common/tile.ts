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
 * multiplications and a broadcast less than one, if its subgroups have at least 8 threads.
 */
export function tileCut(device: TileDevice): TileCut {
  return canBroadcast(device)
    ? { threads: 16, broadcast: true }
    : { threads: 64, broadcast: false };
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
