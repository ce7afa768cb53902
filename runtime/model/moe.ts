/**
 * The mixture-of-experts block in three parts, between which the host may bring experts in: route, experts (once for
 * each wave of experts), combine.
 * @module
 */
import { moeCombine, moeCombineGrid } from "../../shaders/moe_combine/moe_combine.ts";
import {
  groupPairs,
  groupPairsGrid,
  groupTiles,
  tileGridOffset,
} from "../../shaders/moe_experts/groups.ts";
import { chunkSizes, type TileOp } from "../../shaders/moe_experts/chunks.ts";
import { type ExpertShape, expertSizes } from "../../shaders/moe_experts/moe_experts.ts";
import {
  downTiles,
  downTilesGrid,
  gateUpTiles,
  gateUpTilesGrid,
  tileGroups,
} from "../../shaders/moe_experts/expert_tiles.ts";
import { moeRoute, moeRouteGrid } from "../../shaders/moe_route/moe_route.ts";
import { tileCut } from "../../shaders/common/tile.ts";
import type { Grid, StepShape } from "../../shaders/kernel_spec.ts";
import type { IndirectGrid, Program } from "../gpu/program.ts";
import { addMatmul } from "./linear.ts";
import { addMlp } from "./mlp.ts";
import { addFewRows } from "./moe_few.ts";
import { addWaves, type Target } from "./moe_fill.ts";
import { layerIds, type MoeParts, moeRanks, stopValue } from "./moe_parts.ts";
import { DECODE_ROWS, type Phase } from "./parts.ts";

/**
 * Adds the choice of experts. Where a chosen expert has no slot (or, where the GPU pages by itself, is not in host memory yet),
 * `step.stopped` becomes 1 + the layer; the host brings the experts in, clears it and goes on with the experts. A shared expert that is not laid out like the
 * routed ones is computed here, into its place among their outputs.
 */
export function addRoute(program: Program, phase: Phase, parts: MoeParts): void {
  const { step, x, norm, scratch, weights, sizes } = parts;
  const logits = scratch.routerLogits!;
  addMatmul(program, phase, { step, x, norm, y: logits }, weights.router);
  if (weights.shared) {
    const yStride = moeRanks(sizes) * sizes.hidden;
    const yOffset = sizes.topK * sizes.hidden;
    addMlp(
      program,
      phase,
      { step, x, norm, y: scratch.expertOut!, yStride, yOffset, scratch },
      weights.shared,
    );
  }
  program.add(moeRoute(sizes, tileCut(program.kernels).broadcast), {
    step,
    logits,
    table: (weights.pool.host ?? weights.pool).table,
    stop: stopValue(parts),
    ids: layerIds(parts),
    weights: scratch.routeWeights!,
  }, moeRouteGrid);
}

/**
 * Adds the experts that have a slot, for all chunks of the pool. Each pair (row, rank) has a place of its own in the
 * scratch, so it may run in waves with other slots each time: the bits are those of one run with all experts.
 */
export function addExperts(program: Program, phase: Phase, parts: MoeParts): void {
  const { weights: { pool }, sizes: { experts, topK }, maxRows, step } = parts;
  if (!pool.host) return addWave(program, phase, parts);
  const fill = { experts, topK, maxRows, step, ids: layerIds(parts), pool };
  addWaves(
    program,
    phase,
    { parts: fill, host: pool.host },
    (wave) => addWave(wave, phase, parts),
  );
}

/** Adds the experts of one wave: those that have a slot. */
function addWave(program: Target, phase: Phase, parts: MoeParts): void {
  const { weights: { pool }, sizes, maxRows } = parts;
  const shapes = pool.chunks.map(({ firstSlot, slots }, i): ExpertShape => ({
    ...sizes,
    experts: sizes.experts + 1,
    topK: moeRanks(sizes),
    maxRows,
    format: pool.format,
    firstSlot,
    slots,
    chunk: i,
    moreChunks: i < pool.chunks.length - 1,
  }));
  addFewRows(program, parts, { shapes, ids: layerIds(parts) });
  if (phase !== "prefill") return;
  addGroups(program, parts, shapes);
  pool.chunks.forEach(({ buffer }, i) =>
    addManyRows(program, parts, { shape: shapes[i]!, buffer })
  );
}

/** Adds the weighted sum of routed and shared experts to the residual stream, where the experts have not: of many rows. */
export function addCombine(program: Program, phase: Phase, parts: MoeParts): void {
  if (phase === "decode") return;
  const { step, scratch, sizes, h } = parts;
  const shape = { hidden: sizes.hidden, ranks: moeRanks(sizes) };
  program.add(
    moeCombine(shape),
    { step, outputs: scratch.expertOut!, weights: scratch.routeWeights!, h },
    gridFor(8, (s) => moeCombineGrid(shape, s)),
  );
}

/** Adds the lists of pairs by expert. */
function addGroups(program: Target, parts: MoeParts, shapes: readonly ExpertShape[]): void {
  const shape = shapes[0]!;
  const groups = tileGroups(shape, tileCut(program.kernels));
  const { step, scratch, weights } = parts;
  const common = { step, groups: scratch.expertGroups!, sizes: sizesOf(program, shape) };
  program.add(
    groupPairs(),
    { ...common, ids: layerIds(parts) },
    gridFor(8, () => groupPairsGrid(shape)),
  );
  program.add(
    groupTiles(),
    {
      ...common,
      table: weights.pool.table,
      pool: program.kernels.uniform(chunkSizes({ topK: shape.topK, groups }, shapes)),
    },
    gridFor(8, () => [1, 1, 1]),
  );
}

/** One chunk of the pool. */
interface Chunk {
  readonly shape: ExpertShape;
  readonly buffer: GPUBuffer;
}

/**
 * Adds the experts of one chunk for many rows, by tiles of an expert's pairs. For a CPU that runs shaders the workgroups are
 * counted: those without a tile cost it too much.
 */
function addManyRows(program: Target, parts: MoeParts, { shape, buffer }: Chunk): void {
  const { x, scratch } = parts;
  const cut = tileCut(program.kernels);
  const gridOf = (op: TileOp): IndirectGrid | null =>
    program.kernels.software
      ? { buffer: scratch.expertGroups!, offset: tileGridOffset(shape.chunk ?? 0, op) }
      : null;
  const common = {
    ...bindingsOf(program, parts, { shape, buffer }),
    groups: scratch.expertGroups!,
  };
  program.add(
    gateUpTiles(shape.format, cut),
    { ...common, x, act: scratch.expertAct! },
    gridFor(8, (s) => gateUpTilesGrid(shape, cut, s)),
    gridOf("gateUp"),
  );
  program.add(
    downTiles(shape.format, cut),
    { ...common, x: scratch.expertAct!, y: scratch.expertOut! },
    gridFor(8, (s) => downTilesGrid(shape, cut, s)),
    gridOf("down"),
  );
}

/** What all kernels of a chunk read beside their pairs. */
function bindingsOf(
  program: Target,
  { step, weights }: MoeParts,
  { shape, buffer }: Chunk,
): Readonly<Record<string, GPUBuffer>> {
  return {
    step,
    table: weights.pool.table,
    codes: buffer,
    scales: buffer,
    sizes: sizesOf(program, shape),
  };
}

function sizesOf(program: Target, shape: ExpertShape): GPUBuffer {
  return program.kernels.uniform(expertSizes(shape));
}

type GridOf = (shape: StepShape) => Grid;

/** No workgroups unless the step has as many rows as this kernel is for: up to 16, or more. */
function gridFor(tile: 1 | 8, grid: GridOf): GridOf {
  return (shape) => (tile === 1) === (shape.rows <= DECODE_ROWS) ? grid(shape) : [0, 0, 0];
}
