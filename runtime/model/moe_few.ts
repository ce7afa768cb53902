/** Adds the experts of steps of few rows, and their sum once all of a row are there. @module */
import { productCut, squareBlock } from "../../shaders/common/products.ts";
import type { Grid, StepShape } from "../../shaders/kernel_spec.ts";
import {
  fewCut,
  fewDown,
  fewDownGrid,
  fewGateUp,
  fewGateUpGrid,
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
import { squareParts } from "./linear.ts";
import type { Target } from "./moe_fill.ts";
import type { MoeParts } from "./moe.ts";
import { DECODE_ROWS } from "./parts.ts";

/** The chunks of the pool, and the layer's part of the ids. */
export interface FewExperts {
  readonly shapes: readonly ExpertShape[];
  readonly ids: Bound;
}

/**
 * Adds the kernels of one wave of experts: two dispatches for one row whose pool is one buffer, else two for each buffer, one
 * for the sum and, for several rows, one that lists the pairs by expert.
 */
export function addFewRows(program: Target, parts: MoeParts, few: FewExperts): void {
  const { variant } = program.kernels;
  const { norm, next } = parts;
  const normed = {
    ...(norm ? { norm: { parts: squareParts(norm, variant), epsilon: norm.epsilon } } : {}),
    nextParts: squareParts(next, variant),
  };
  const shapes = few.shapes.map((shape) => ({ ...shape, ...normed }));
  const fused = shapes.length === 1;
  addList(program, parts, few);
  shapes.forEach((shape, chunk) => {
    addGateUp(program, parts, { ...few, shape, chunk });
    addDown(program, parts, { ...few, shape, chunk, rows: "several" });
    if (!fused) addDown(program, parts, { ...few, shape, chunk, rows: "one" });
  });
  if (fused) addDownSum(program, parts, { ...few, shape: shapes[0]!, chunk: 0 });
  addSum(program, parts, { shape: shapes[0]!, from: fused ? 2 : 1 });
}

/** One chunk of the pool. */
interface Chunk extends FewExperts {
  readonly shape: ExpertShape;
  readonly chunk: number;
}

function addList(program: Target, { step, weights, scratch }: MoeParts, few: FewExperts): void {
  const { shapes, ids } = few;
  program.add(
    listFewTiles(shapes[0]!),
    {
      step,
      ids,
      table: weights.pool.table,
      list: scratch.fewExperts!,
      sizes: program.kernels.uniform(fewListSizes(shapes[0]!, shapes)),
    },
    gridFor(2, () => [1, 1, 1]),
  );
}

function addGateUp(program: Target, parts: MoeParts, chunk: Chunk): void {
  const cut = fewCut(program.kernels.variant);
  const { x, norm, scratch } = parts;
  for (const rows of ["one", "several"] as const) {
    program.add(
      fewGateUp(chunk.shape.format, rows, cut),
      {
        ...bindingsOf(program, parts, chunk, rows),
        x,
        act: scratch.expertAct!,
        squares: norm?.squares ?? x,
      },
      forRows(rows, (step) => fewGateUpGrid(chunk.shape, cut, step)),
    );
  }
}

function addDown(
  program: Target,
  parts: MoeParts,
  { rows, ...chunk }: Chunk & { readonly rows: FewRows },
): void {
  const cut = fewCut(program.kernels.variant);
  const { scratch } = parts;
  program.add(
    fewDown(chunk.shape.format, rows, cut),
    {
      ...bindingsOf(program, parts, chunk, rows),
      x: scratch.expertAct!,
      y: scratch.expertOut!,
    },
    forRows(rows, (step) => fewDownGrid(chunk.shape, cut, step)),
  );
}

/** Adds down and sum of one row in one kernel, where the pool is one buffer. */
function addDownSum(program: Target, parts: MoeParts, chunk: Chunk): void {
  const { software, variant } = program.kernels;
  const { h, next, scratch } = parts;
  const { shape } = chunk;
  const cut = productCut(1, variant);
  program.add(
    downSumExperts(shape.format, cut, { ...shape, parallel: !software }),
    {
      ...bindingsOf(program, parts, chunk, "one"),
      x: scratch.expertAct!,
      weights: scratch.routeWeights!,
      outputs: scratch.expertOut!,
      h,
      norm: next.weight,
      scaled: next.scaled,
      squares: next.squares,
    },
    forRows("one", (step) => downSumGrid(shape, cut, step)),
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
  { shape, chunk, ids }: Chunk,
  rows: FewRows,
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
  return rows === "one" ? (step) => step.rows === 1 ? grid(step) : [0, 0, 0] : gridFor(2, grid);
}

/** No workgroups unless the step has `from` rows or more, but few. */
function gridFor(from: number, grid: GridOf): GridOf {
  return (step) => step.rows >= from && step.rows <= DECODE_ROWS ? grid(step) : [0, 0, 0];
}
