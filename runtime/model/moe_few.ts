/** Adds the experts of steps of few rows, and their sum once all of a row are there. @module */
import { PRODUCT_THREADS, productCut, squareBlock } from "../../shaders/common/products.ts";
import type { Grid, StepShape } from "../../shaders/kernel_spec.ts";
import type { TileOp } from "../../shaders/moe_experts/chunks.ts";
import {
  fewCut,
  fewDown,
  fewDownGrid,
  fewGateUp,
  fewGateUpGrid,
  fewGridOffset,
  fewListSizes,
  type FewRows,
  listFewTiles,
  sumExperts,
  sumExpertsGrid,
} from "../../shaders/moe_experts/few_rows.ts";
import {
  downSumExperts,
  downSumGrid,
  type ExpertShape,
  expertSizes,
} from "../../shaders/moe_experts/moe_experts.ts";
import type { Bound } from "../gpu/kernel.ts";
import type { IndirectGrid } from "../gpu/program.ts";
import { squareParts } from "./linear.ts";
import type { Target } from "./moe_fill.ts";
import type { MoeParts } from "./moe_parts.ts";
import { DECODE_ROWS } from "./parts.ts";

/** The chunks of the pool, and the layer's part of the ids. */
export interface FewExperts {
  readonly shapes: readonly ExpertShape[];
  readonly ids: Bound;
}

/**
 * Adds the kernels of one wave of experts. A pool of one buffer: for one row two dispatches, for several one that lists the
 * pairs by expert, two, and the sum. Of several buffers: two for each and the sum. On a CPU that runs shaders most workgroups
 * of those would find that their tile is in another buffer, and a workgroup costs what one turn of its loops costs: the list
 * is made for one row, too, and says how many workgroups each buffer needs, of tiles of one pair and of others apart.
 */
export function addFewRows(program: Target, parts: MoeParts, few: FewExperts): void {
  const { software, variant } = program.kernels;
  const { norm, next } = parts;
  const normed = {
    ...(norm ? { norm: { parts: squareParts(norm, variant), epsilon: norm.epsilon } } : {}),
    nextParts: squareParts(next, variant),
  };
  const shapes = few.shapes.map((shape) => ({ ...shape, ...normed }));
  const fused = shapes.length === 1;
  const counted = !fused && software;
  addList(program, parts, few, counted ? 1 : 2);
  const kinds: readonly FewRows[] = counted ? ["alone", "shared"] : ["one", "several"];
  shapes.forEach((shape, chunk) => {
    for (const rows of kinds) addGateUp(program, parts, { ...few, shape, chunk, rows });
    for (const rows of kinds) {
      if (fused && rows === "one") continue;
      addDown(program, parts, { ...few, shape, chunk, rows });
    }
  });
  if (fused) addDownSum(program, parts, { ...few, shape: shapes[0]!, chunk: 0, rows: "one" });
  addSum(program, parts, { shape: shapes[0]!, from: fused ? 2 : 1 });
}

/** What a kernel takes of one chunk of the pool. */
interface Chunk extends FewExperts {
  readonly shape: ExpertShape;
  readonly chunk: number;
  readonly rows: FewRows;
}

function addList(
  program: Target,
  { step, weights, scratch }: MoeParts,
  { shapes, ids }: FewExperts,
  from: number,
): void {
  const cut = fewCut(program.kernels.variant);
  program.add(
    listFewTiles(shapes[0]!),
    {
      step,
      ids,
      table: weights.pool.table,
      list: scratch.fewExperts!,
      sizes: program.kernels.uniform(fewListSizes(shapes[0]!, cut, shapes)),
    },
    gridFor(from, () => [1, 1, 1]),
  );
}

function addGateUp(program: Target, parts: MoeParts, chunk: Chunk): void {
  const cut = fewCut(program.kernels.variant);
  const { x, norm, scratch } = parts;
  program.add(
    fewGateUp(chunk.shape.format, chunk.rows, cut),
    {
      ...bindingsOf(program, parts, chunk),
      x,
      act: scratch.expertAct!,
      squares: norm?.squares ?? x,
    },
    forRows(chunk.rows, (step) => fewGateUpGrid(chunk.shape, cut, step)),
    countedGrid(parts, chunk, "gateUp"),
  );
}

function addDown(program: Target, parts: MoeParts, chunk: Chunk): void {
  const cut = fewCut(program.kernels.variant);
  const { scratch } = parts;
  program.add(
    fewDown(chunk.shape.format, chunk.rows, cut),
    {
      ...bindingsOf(program, parts, chunk),
      x: scratch.expertAct!,
      y: scratch.expertOut!,
    },
    forRows(chunk.rows, (step) => fewDownGrid(chunk.shape, cut, step)),
    countedGrid(parts, chunk, "down"),
  );
}

/** Where the list says how many workgroups a kernel needs; null for those whose grids are for the worst case. */
function countedGrid(
  { scratch }: MoeParts,
  { chunk, rows }: Chunk,
  op: TileOp,
): IndirectGrid | null {
  if (rows !== "alone" && rows !== "shared") return null;
  return { buffer: scratch.fewExperts!, offset: fewGridOffset(chunk, rows, op) };
}

/** Adds down and sum of one row in one kernel, where the pool is one buffer. */
function addDownSum(program: Target, parts: MoeParts, chunk: Chunk): void {
  const { software, variant, mostThreads } = program.kernels;
  const { h, next, scratch } = parts;
  const { shape } = chunk;
  const parallel = !software && PRODUCT_THREADS * shape.topK <= mostThreads;
  const cut = productCut(1, variant);
  program.add(
    downSumExperts(shape.format, cut, { ...shape, parallel }),
    {
      ...bindingsOf(program, parts, chunk),
      x: scratch.expertAct!,
      weights: scratch.routeWeights!,
      outputs: scratch.expertOut!,
      h,
      norm: next.weight,
      scaled: next.scaled,
      squares: next.squares,
    },
    forRows(chunk.rows, (step) => downSumGrid(shape, cut, step)),
  );
}

function addSum(
  program: Target,
  { step, scratch, h, next }: MoeParts,
  { shape, from }: { readonly shape: ExpertShape; readonly from: number },
): void {
  const block = squareBlock(program.kernels.variant);
  program.add(
    sumExperts(block),
    {
      step,
      y: scratch.expertOut!,
      weights: scratch.routeWeights!,
      h,
      norm: next.weight,
      scaled: next.scaled,
      squares: next.squares,
      sizes: program.kernels.uniform(expertSizes(shape)),
    },
    gridFor(from, (size) => sumExpertsGrid(shape, block, size)),
  );
}

function bindingsOf(
  program: Target,
  { step, weights: { pool }, scratch }: MoeParts,
  { shape, chunk, rows, ids }: Chunk,
): Readonly<Record<string, Bound>> {
  const { buffer } = pool.chunks[chunk]!;
  return {
    step,
    ...(rows === "one" ? { ids } : { list: scratch.fewExperts! }),
    table: pool.table,
    codes: buffer,
    scales: buffer,
    sizes: program.kernels.uniform(expertSizes(shape)),
  };
}

type GridOf = (step: StepShape) => Grid;

function forRows(rows: FewRows, grid: GridOf): GridOf {
  if (rows === "one") return (step) => step.rows === 1 ? grid(step) : [0, 0, 0];
  return gridFor(rows === "alone" ? 1 : 2, grid);
}

/** No workgroups unless the step has `from` rows or more, but few. */
function gridFor(from: number, grid: GridOf): GridOf {
  return (step) => step.rows >= from && step.rows <= DECODE_ROWS ? grid(step) : [0, 0, 0];
}
