/** Matrix product y = W x over many rows of a step, for weights in any format. @module */
import { FORMATS } from "../common/formats.ts";
import { STEP_WGSL } from "../common/step.ts";
import { TILE_OUTPUTS, TILE_ROWS, tileConstants, type TileCut, tileWgsl } from "../common/tile.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import { type MatmulShape, MATRIX_WGSL, sharingOf } from "./matmul.ts";
import source from "./matmul_tile.wgsl" with { type: "text" };
import quads from "./store_quads.wgsl" with { type: "text" };
import singles from "./store_singles.wgsl" with { type: "text" };

/**
 * The kernel for one format and cut. Buffers: codes and scales of W (codes again where the format has no scales), x
 * and y f32, `sizes` from `matmulSizes`, of a shape without norms. A row has the same bits whatever its neighbours.
 */
export function matmulTile(shape: MatmulShape, cut: TileCut): KernelSpec {
  const { format, n, scaleRows = 128, yStride = n, yOffset = 0 } = shape;
  const whole = [n, yStride, yOffset].every((size) => size % 4 === 0);
  return {
    name: `matmul_tile_${format}`,
    source: STEP_WGSL + FORMATS[format].snippet + tileWgsl(cut) + MATRIX_WGSL +
      (whole ? quads : singles) + source,
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
