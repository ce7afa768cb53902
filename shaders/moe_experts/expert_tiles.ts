/** The routed experts of many rows, by tiles of an expert's pairs (row, rank). @module */
import { type FormatName, FORMATS } from "../common/formats.ts";
import { SILU_WGSL } from "../common/silu.ts";
import { STEP_WGSL } from "../common/step.ts";
import { TILE_OUTPUTS, tileConstants, type TileCut, tileWgsl } from "../common/tile.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import { CHUNKS_WGSL, type TileOp } from "./chunks.ts";
import down from "./down_tile.wgsl" with { type: "text" };
import gateUp from "./gate_up_tile.wgsl" with { type: "text" };
import { GROUPS_WGSL, mostTiles, SIZES_WGSL } from "./groups.ts";
import { EXPERTS_WGSL, type ExpertShape } from "./moe_experts.ts";
import pairs from "./pair_tile.wgsl" with { type: "text" };

/**
 * act[row, rank] = silu(gate x[row]) * up x[row] of expert ids[row, rank]. Buffers: `groups` from `groupPairs` and
 * `groupTiles`; table u32 [experts] (slot or NONE); codes and scales both the chunk's buffer; x f32 [rows, hidden]; act f32
 * [rows, topK, dff]; `sizes` from `expertSizes`, of a shape without norms.
 */
export function gateUpTiles(format: FormatName, cut: TileCut): KernelSpec {
  return {
    name: `gate_up_tile_${format}`,
    source: sourceOf(format, cut) + SILU_WGSL + gateUp,
    bindings: { ...BINDINGS, act: "read_write", sizes: "uniform" },
    constants: tileConstants(cut),
  };
}

/** Workgroups that share the outputs of a tile. */
export function tileGroups(
  { hidden, dff }: Pick<ExpertShape, "hidden" | "dff">,
  cut: TileCut,
): Readonly<Record<TileOp, number>> {
  return {
    gateUp: ceilDiv(dff, TILE_OUTPUTS / 2 * cut.threads),
    down: ceilDiv(hidden, TILE_OUTPUTS * cut.threads),
  };
}

/** The grid of `gateUpTiles`: as many tiles as there can be; those that there are not return at once. */
export function gateUpTilesGrid(shape: ExpertShape, cut: TileCut, step: StepShape): Grid {
  return [mostTiles(shape, step.rows), tileGroups(shape, cut).gateUp, 1];
}

/** y[row, rank] = down x[row, rank]; x is `act`, y f32 [rows, topK, hidden], the rest as `gateUpTiles`. */
export function downTiles(format: FormatName, cut: TileCut): KernelSpec {
  return {
    name: `down_tile_${format}`,
    source: sourceOf(format, cut) + down,
    bindings: { ...BINDINGS, y: "read_write", sizes: "uniform" },
    constants: tileConstants(cut),
  };
}

/** The grid of `downTiles`. */
export function downTilesGrid(shape: ExpertShape, cut: TileCut, step: StepShape): Grid {
  return [mostTiles(shape, step.rows), tileGroups(shape, cut).down, 1];
}

const BINDINGS: KernelSpec["bindings"] = {
  step: "read",
  groups: "read",
  table: "read",
  codes: "read",
  scales: "read",
  x: "read",
};

function sourceOf(format: FormatName, cut: TileCut): string {
  return STEP_WGSL + FORMATS[format].snippet + SIZES_WGSL + CHUNKS_WGSL + GROUPS_WGSL +
    EXPERTS_WGSL +
    tileWgsl(cut) + pairs;
}
