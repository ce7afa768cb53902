/** How the kernels for matrix products are cut. @module */
import lanesMemory from "./lanes_memory.wgsl" with { type: "text" };
import lanesSubgroup from "./lanes_subgroup.wgsl" with { type: "text" };
import rowFactor from "./row_factor.wgsl" with { type: "text" };
import source from "./products.wgsl" with { type: "text" };
import type { ProductVariant } from "./variants.ts";

/** WGSL text of the shared inner part; it needs a format's snippet and the kernel's `codes` and `x`. */
export function productsWgsl(cut: Pick<ProductCut, "reduce">): string {
  return lanesWgsl(cut) + source;
}

/** WGSL text that adds up the sums of the lanes of a group; it needs `LANES`. */
export function lanesWgsl({ reduce }: Pick<ProductCut, "reduce">): string {
  return reduce === "subgroups" ? lanesSubgroup : lanesMemory;
}

/** WGSL text of the second half of a norm that is cut in two; it needs `PRODUCTS_WGSL` and the kernel's `squares`. */
export const ROW_FACTOR_WGSL: string = rowFactor;

/** Threads of a workgroup. */
export const PRODUCT_THREADS = 32;

/** Threads of a workgroup that tell each other x. */
export const BROADCAST_THREADS = 8;

/** Rows of x that one reading of the weights serves: 2 and 16 are for broadcasts alone. */
export type TileRows = 1 | 2 | 4 | 8 | 16;

/** Every one. */
export const TILE_ROWS_OF_FEW: readonly TileRows[] = [1, 2, 4, 8, 16];

/** The cut of a product kernel. `lanes`, `reduce` and `broadcast` decide the order of a sum, hence bits; the others do not. */
export interface ProductCut {
  /** Threads that share a row of W: a power of two, 4 to 32. */
  readonly lanes: number;
  readonly reduce: ProductVariant["reduce"];
  /** Rows of W that a thread multiplies at a time: 8 or 16. */
  readonly outputs: number;
  readonly tile: TileRows;
  /** Of dense matrices: see `ProductVariant`. */
  readonly broadcast?: boolean;
}

/** The cut of a variant for so many rows. */
export function productCut(
  tile: TileRows,
  { lanes, outputs, reduce, broadcast = false }: ProductVariant,
): ProductCut {
  return { tile, lanes, outputs: tile === 1 || broadcast ? 8 : outputs, reduce, broadcast };
}

/** The tile for so many rows, up to 16: a CPU reads the weights as seldom as it can, a GPU has no registers for more. */
export function tileOf(
  rows: number,
  { software, variant }: { readonly software: boolean; readonly variant: ProductVariant },
): TileRows {
  if (variant.broadcast) return TILE_ROWS_OF_FEW.find((tile) => rows <= tile) ?? 16;
  if (rows === 1) return 1;
  return software && rows > 4 ? 8 : 4;
}

/** Rows of W of one workgroup. */
export function rowsOfCut({ lanes, outputs, broadcast }: ProductCut): number {
  return (broadcast ? BROADCAST_THREADS : PRODUCT_THREADS / lanes) * outputs;
}

/** Columns whose squares are summed together by the kernels that write rows: what one of them writes of a single row. */
export function squareBlock(variant: ProductVariant): number {
  return rowsOfCut(productCut(1, variant));
}

/** The override constants of `ROW_FACTOR_WGSL`: a CPU, whose lanes have long stretches, would rather load than wait. */
export function factorConstants({ lanes, tile }: ProductCut): Record<string, number> {
  const gatherers = lanes === PRODUCT_THREADS ? PRODUCT_THREADS : 1;
  return { GATHERERS: gatherers, FACTOR_PARTS: PRODUCT_THREADS * tile };
}

/** The override constants of a cut. */
export function cutConstants({ lanes, outputs, tile }: ProductCut): Record<string, number> {
  return {
    LANES: lanes,
    OUTPUTS: outputs,
    TILE: tile,
    PARTIAL: PRODUCT_THREADS * outputs * tile,
  };
}
