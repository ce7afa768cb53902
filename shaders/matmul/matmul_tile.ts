/** Matrix product y = W x over many rows of a step, for weights in any format. @module */
import { FORMATS } from "../common/formats.ts";
import { STEP_WGSL } from "../common/step.ts";
import { TILE_OUTPUTS, TILE_ROWS, tileConstants, type TileCut, tileWgsl } from "../common/tile.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import source from "./matmul_tile.wgsl" with { type: "text" };
import { type MatmulShape, MATRIX_WGSL, sharingOf, storeWgsl } from "./matrix.ts";

/**
 * The kernel for one format and cut. Buffers: codes and scales of W (codes again where the format has no scales), x
 * and y f32, `sizes` from `matmulSizes`, of a shape without norms. A row has the same bits whatever its neighbours.
 */
export function matmulTile(shape: MatmulShape, cut: TileCut): KernelSpec {
  const { format, scaleRows = 128 } = shape;
  return {
    name: `matmul_tile_${format}`,
    source: STEP_WGSL + FORMATS[format].snippet + tileWgsl(cut) + MATRIX_WGSL +
      storeWgsl(shape) + source,
    bindings: {
      step: "read",
      codes: "read",
      scales: "read",
      x: "read",
      y: "read_write",
      sizes: "uniform",
    },
    constants: { SHARING: sharingOf(scaleRows), ...tileConstants(cut) },
  };
}

/** The grid of `matmulTile`. */
export function matmulTileGrid(
  { n, head }: MatmulShape,
  { threads }: TileCut,
  step: StepShape,
): Grid {
  const rows = head ? step.headRows : step.rows;
  return [ceilDiv(rows, TILE_ROWS), ceilDiv(n, TILE_OUTPUTS * threads), 1];
}
