/** How the kernels for matrix products are cut. @module */
import rowFactor from "./row_factor.wgsl" with { type: "text" };
import source from "./products.wgsl" with { type: "text" };

/** WGSL text of the shared inner part; it needs a format's snippet and the kernel's `codes` and `x`. */
export const PRODUCTS_WGSL: string = source;

/** WGSL text of the second half of a norm that is cut in two; it needs `PRODUCTS_WGSL` and the kernel's `squares`. */
export const ROW_FACTOR_WGSL: string = rowFactor;

/** Threads of a workgroup. */
export const PRODUCT_THREADS = 32;

/** Rows of x that one reading of the weights serves. */
export type TileRows = 1 | 4 | 8;

/** The cut of a product kernel. Only `lanes` decides the order of a sum, so only `lanes` changes bits. */
export interface ProductCut {
  /** Threads that share a row of W: a power of two, 4 to 32. */
  readonly lanes: number;
  /** Rows of W that a thread multiplies at a time: 8 or 16. */
  readonly outputs: number;
  readonly tile: TileRows;
}

/**
 * The cut for so many rows. On a GPU many lanes keep many loads in flight; a CPU that runs shaders wants long stretches
 * a lane and large register tiles, because a load costs it more than ten multiplications.
 */
export function productCut(tile: TileRows, software: boolean): ProductCut {
  return software
    ? { tile, lanes: 4, outputs: tile === 1 ? 8 : 16 }
    : { tile, lanes: 32, outputs: 8 };
}

/** The tile for so many rows, up to 16: a CPU reads the weights as seldom as it can, a GPU has no registers for more. */
export function tileOf(rows: number, software: boolean): TileRows {
  if (rows === 1) return 1;
  return software && rows > 4 ? 8 : 4;
}

/** Rows of W of one workgroup. */
export function rowsOfCut({ lanes, outputs }: ProductCut): number {
  return PRODUCT_THREADS / lanes * outputs;
}

/** Columns whose squares are summed together by the kernels that write rows: what one of them writes of a single row. */
export function squareBlock(software: boolean): number {
  return rowsOfCut(productCut(1, software));
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
