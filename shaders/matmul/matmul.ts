/** Matrix product y = W x over the rows of a step, for weights in any format. @module */
import { FORMATS } from "../common/formats.ts";
import {
  BROADCAST_THREADS,
  cutConstants,
  factorConstants,
  type ProductCut,
  productsWgsl,
  ROW_FACTOR_WGSL,
  rowsOfCut,
} from "../common/products.ts";
import { STEP_WGSL } from "../common/step.ts";
import { BROADCAST_WGSL, tileConstants } from "../common/tile.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import source from "./matmul.wgsl" with { type: "text" };
import broadcast from "./matmul_broadcast.wgsl" with { type: "text" };
import { type MatmulShape, MATRIX_WGSL, sharingOf, storeWgsl } from "./matrix.ts";
import store from "./store.wgsl" with { type: "text" };
import storeBroadcast from "./store_broadcast.wgsl" with { type: "text" };
import storeBroadcastResidual from "./store_broadcast_residual.wgsl" with { type: "text" };
import storeResidual from "./store_residual.wgsl" with { type: "text" };

export { type MatmulShape, matmulSizes } from "./matrix.ts";

/**
 * The kernel for one format and cut. Buffers: codes and scales of W (codes again where the format has no scales), x
 * and y f32, `sizes` from `matmulSizes`, squares f32 [rows, parts] where the shape has a norm (else any), parts in whole
 * quads. A row has the same bits whatever its neighbours, with any cut that differs in its rows alone.
 */
export function matmul(shape: MatmulShape, cut: ProductCut): KernelSpec {
  return {
    name: `matmul_${shape.format}_${cut.tile}`,
    source: cut.broadcast
      ? broadcastWgsl(shape) + storeWgsl(shape) + storeBroadcast
      : lanesWgsl(shape, cut) + store,
    bindings: BINDINGS,
    constants: constantsOf(shape, cut),
  };
}

/**
 * As `matmul`, adding to y, the residual stream, and with the first half of the norm that follows: norm f32 [n],
 * scaled f32 like y, next_squares f32 [rows, nextParts] of `block` columns of y each.
 * @throws {RangeError} if a workgroup does not have whole blocks, or where x is broadcast more than one
 */
export function matmulResidual(shape: MatmulShape, cut: ProductCut, block: number): KernelSpec {
  const here = rowsOfCut(cut);
  if (cut.broadcast ? here !== block : here % block) {
    throw new RangeError(
      `Cannot sum squares of ${block} columns: expected ${
        cut.broadcast ? "" : "a divisor of "
      }${here}, the columns of a workgroup`,
    );
  }
  return {
    name: `matmul_residual_${shape.format}_${cut.tile}`,
    source: cut.broadcast
      ? broadcastWgsl(shape) + storeBroadcastResidual
      : lanesWgsl(shape, cut) + storeResidual,
    bindings: { ...BINDINGS, norm: "read", scaled: "read_write", next_squares: "read_write" },
    constants: {
      ...constantsOf(shape, cut),
      ...(cut.broadcast ? {} : { BLOCK: block, KEPT: here * cut.tile }),
    },
  };
}

/** Lanes share rows of W, and have their sums added up. */
function lanesWgsl({ format }: MatmulShape, cut: ProductCut): string {
  return STEP_WGSL + FORMATS[format].snippet + productsWgsl(cut) + ROW_FACTOR_WGSL + MATRIX_WGSL +
    source;
}

/** Threads have rows of W of their own, and tell each other x. */
function broadcastWgsl({ format }: MatmulShape): string {
  return STEP_WGSL + FORMATS[format].snippet + BROADCAST_WGSL + MATRIX_WGSL +
    broadcast;
}

const BINDINGS: KernelSpec["bindings"] = {
  step: "read",
  codes: "read",
  scales: "read",
  x: "read",
  y: "read_write",
  sizes: "uniform",
  squares: "read",
};

function constantsOf(
  { scaleRows = 128 }: MatmulShape,
  cut: ProductCut,
): Record<string, number> {
  const sharing = { SHARING: sharingOf(scaleRows) };
  return cut.broadcast
    ? { ...sharing, ...tileConstants({ threads: BROADCAST_THREADS }), TILE: cut.tile }
    : { ...sharing, ...factorConstants(cut), ...cutConstants(cut) };
}

/** The grid of `matmul`. */
export function matmulGrid(shape: MatmulShape, cut: ProductCut, step: StepShape): Grid {
  const across = ceilDiv(shape.n, rowsOfCut(cut));
  const down = ceilDiv(shape.head ? step.headRows : step.rows, cut.tile);
  // Of many rows, workgroups next to each other have the same weights.
  return cut.broadcast ? [down, across, 1] : [across, down, 1];
}
