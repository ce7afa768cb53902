/**
 * The mixture-of-experts block in three parts, between which the host may bring experts in: route, experts (once for
 * each wave of experts), combine.
 * @module
 */
import { moeCombine, moeCombineGrid } from "../../shaders/moe_combine/moe_combine.ts";
import {
  groupBytes,
  groupPairs,
  groupPairsGrid,
  type GroupShape,
  groupTiles,
} from "../../shaders/moe_experts/groups.ts";
import {
  downFewExperts,
  downFewGrid,
  downManyExperts,
  downManyGrid,
  type ExpertShape,
  gateUpFewExperts,
  gateUpFewGrid,
  gateUpManyExperts,
  gateUpManyGrid,
} from "../../shaders/moe_experts/moe_experts.ts";
import { moeRoute, moeRouteGrid } from "../../shaders/moe_route/moe_route.ts";
import type { Grid, StepShape } from "../../shaders/kernel_spec.ts";
import type { Bound } from "../gpu/kernel.ts";
import type { Program } from "../gpu/program.ts";
import { addMatmul } from "./linear.ts";
import { addMlp, mlpScratch } from "./mlp.ts";
import { DECODE_ROWS, type MoeWeights, type Phase, type Scratch } from "./parts.ts";

/** Sizes of the blocks of a model; all layers are alike. */
export interface MoeSizes {
  readonly hidden: number;
  readonly experts: number;
  readonly topK: number;
  readonly dff: number;
  readonly sharedDff: number;
  readonly layers: number;
}

/** The block of one layer. */
export interface MoeParts {
  readonly sizes: MoeSizes;
  /** As given to `moeScratch`. */
  readonly maxRows: number;
  readonly layer: number;
  readonly step: GPUBuffer;
  /** Buffers of the sizes that `moeScratch` names; `stopValues` holds `stopValues(layers)`. */
  readonly scratch: Scratch;
  readonly weights: MoeWeights;
  /** f32 [rows, hidden]: the normed input. */
  readonly x: GPUBuffer;
  /** f32 [rows, hidden]: the residual stream, which the block adds to. */
  readonly h: GPUBuffer;
}

/** Bindings start at multiples of this many words. */
const ALIGNED_WORDS = 64;

/** Words from one layer's ids to the next in the `ids` scratch buffer. */
export function moeIdStride({ topK }: Pick<MoeSizes, "topK">, maxRows: number): number {
  return Math.ceil(maxRows * topK / ALIGNED_WORDS) * ALIGNED_WORDS;
}

/** What the host writes once into the `stopValues` scratch buffer: 1 + the layer, each at its own binding offset. */
export function stopValues(layers: number): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(layers * ALIGNED_WORDS);
  for (let layer = 0; layer < layers; layer++) words[layer * ALIGNED_WORDS] = layer + 1;
  return words;
}

/**
 * Bytes of the scratch buffers that the blocks of all layers share, by name; `ids`, u32 [layers, moeIdStride], keeps
 * every layer's choice for the host: [rows, topK] from the layer's offset on.
 */
export function moeScratch(sizes: MoeSizes, maxRows: number): Record<string, number> {
  const { hidden, experts, topK, dff, sharedDff, layers } = sizes;
  return {
    routerLogits: 4 * maxRows * (experts + 1),
    ids: 4 * layers * moeIdStride(sizes, maxRows),
    stopValues: 4 * layers * ALIGNED_WORDS,
    routeWeights: 4 * maxRows * topK,
    sharedGate: 4 * maxRows,
    sharedOut: 4 * maxRows * hidden,
    ...mlpScratch(sharedDff, maxRows),
    expertGroups: groupBytes({ experts, topK, maxRows }),
    expertAct: 4 * maxRows * topK * dff,
    expertOut: 4 * maxRows * topK * hidden,
  };
}

/**
 * Adds the shared expert and the choice of experts. Where a chosen expert has no slot, `step.stopped` becomes
 * 1 + the layer; the host brings the experts in, clears it and goes on with the experts.
 */
export function addRoute(program: Program, phase: Phase, parts: MoeParts): void {
  const { step, x, scratch, weights, sizes, layer } = parts;
  const logits = scratch.routerLogits!;
  addMatmul(program, phase, { step, x, y: logits }, weights.router);
  addMlp(program, phase, { step, x, y: scratch.sharedOut!, scratch }, weights.shared);
  program.add(moeRoute(sizes), {
    step,
    logits,
    table: weights.pool.table,
    stop: { buffer: scratch.stopValues!, offset: layer * ALIGNED_WORDS * 4, size: 4 },
    ids: idsOf(parts),
    weights: scratch.routeWeights!,
    shared_gate: scratch.sharedGate!,
  }, moeRouteGrid);
}

/**
 * Adds the experts that have a slot, for all chunks of the pool. Each pair (row, rank) has a place of its own in the
 * scratch, so it may run in waves with other slots each time: the bits are those of one run with all experts.
 */
export function addExperts(program: Program, phase: Phase, parts: MoeParts): void {
  const groups: GroupShape = { ...parts.sizes, maxRows: parts.maxRows };
  if (phase === "prefill") {
    const { step, scratch, weights } = parts;
    const list = scratch.expertGroups!;
    program.add(
      groupPairs(groups),
      { step, ids: idsOf(parts), groups: list },
      forMany(() => groupPairsGrid(groups)),
    );
    program.add(
      groupTiles(groups),
      { step, table: weights.pool.table, groups: list },
      forMany(() => [1, 1, 1]),
    );
  }
  for (const { firstSlot, slots, buffer } of parts.weights.pool.chunks) {
    const shape = { ...parts.sizes, format: parts.weights.pool.format, firstSlot, slots };
    addChunkForFew(program, parts, shape, buffer);
    if (phase === "prefill") addChunkForMany(program, parts, { shape, groups }, buffer);
  }
}

/** Adds the weighted sum of shared and routed experts to the residual stream. */
export function addCombine(program: Program, parts: MoeParts): void {
  const { step, scratch, sizes, h } = parts;
  program.add(moeCombine(sizes), {
    step,
    routed: scratch.expertOut!,
    weights: scratch.routeWeights!,
    shared_out: scratch.sharedOut!,
    shared_gate: scratch.sharedGate!,
    h,
  }, (s) => moeCombineGrid(sizes, s));
}

function addChunkForFew(
  program: Program,
  { step, x, scratch, weights, ...rest }: MoeParts,
  shape: ExpertShape,
  chunk: GPUBuffer,
): void {
  const ids = idsOf({ scratch, ...rest });
  const common = { step, ids, table: weights.pool.table, codes: chunk, scales: chunk };
  const act = scratch.expertAct!;
  program.add(
    gateUpFewExperts(shape),
    { ...common, x, act },
    forFew((s) => gateUpFewGrid(shape, s)),
  );
  program.add(
    downFewExperts(shape),
    { ...common, act, y: scratch.expertOut! },
    forFew((s) => downFewGrid(shape, s)),
  );
}

function addChunkForMany(
  program: Program,
  { step, x, scratch, weights }: MoeParts,
  { shape, groups }: { readonly shape: ExpertShape; readonly groups: GroupShape },
  chunk: GPUBuffer,
): void {
  const list = scratch.expertGroups!;
  const common = { step, groups: list, table: weights.pool.table, codes: chunk, scales: chunk };
  const act = scratch.expertAct!;
  program.add(
    gateUpManyExperts(shape, groups),
    { ...common, x, act },
    forMany((s) => gateUpManyGrid(shape, groups, s)),
  );
  program.add(
    downManyExperts(shape, groups),
    { ...common, act, y: scratch.expertOut! },
    forMany((s) => downManyGrid(shape, groups, s)),
  );
}

/** This layer's part of the ids. */
function idsOf({ sizes, maxRows, layer, scratch }: Pick<
  MoeParts,
  "sizes" | "maxRows" | "layer" | "scratch"
>): Bound {
  const size = 4 * moeIdStride(sizes, maxRows);
  return { buffer: scratch.ids!, offset: layer * size, size };
}

type GridOf = (shape: StepShape) => Grid;

/** No workgroups for more rows than a decode step has. */
function forFew(grid: GridOf): GridOf {
  return (shape) => shape.rows <= DECODE_ROWS ? grid(shape) : [0, 0, 0];
}

/** No workgroups for as few rows as a decode step has. */
function forMany(grid: GridOf): GridOf {
  return (shape) => shape.rows > DECODE_ROWS ? grid(shape) : [0, 0, 0];
}
