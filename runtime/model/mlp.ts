/** The plain MLP of dense models, and of the shared expert: down(silu(gate x) * up x). @module */
import { swiglu, swigluGrid } from "../../shaders/swiglu/swiglu.ts";
import type { Program } from "../gpu/program.ts";
import { addMatmul } from "./linear.ts";
import type { MlpWeights, Phase, Scratch, SplitNorm } from "./parts.ts";

/** Where an MLP reads and writes; f32 rows of the model's width. */
export interface MlpIo {
  readonly step: GPUBuffer;
  readonly x: GPUBuffer;
  readonly y: GPUBuffer;
  /** Elements from one row of y to the next; the model's width unless said. */
  readonly yStride?: number;
  /** Where a row of y starts; 0 unless said. */
  readonly yOffset?: number;
  /** x is this norm's `scaled`. */
  readonly norm?: SplitNorm | null;
  /** y is the residual stream, that of this norm, and added to. */
  readonly next?: SplitNorm;
  /** Buffers of the sizes that `mlpScratch` names. */
  readonly scratch: Scratch;
}

/** Bytes of the scratch buffers of an MLP, by name. */
export function mlpScratch(dff: number, maxRows: number): Record<string, number> {
  return { mlpGateUp: 4 * maxRows * 2 * dff, mlpAct: 4 * maxRows * dff };
}

/** Adds `y = down(silu(gate x) * up x)`, or `y +=` where y is the residual stream. */
export function addMlp(program: Program, phase: Phase, io: MlpIo, weights: MlpWeights): void {
  const { step, x, y, yStride = weights.down.n, yOffset = 0, norm = null, next } = io;
  const gateUp = io.scratch.mlpGateUp!;
  const act = io.scratch.mlpAct!;
  const shape = { dff: weights.down.k };
  addMatmul(program, phase, { step, x, y: gateUp, norm }, weights.gateUp);
  program.add(swiglu(shape), { step, x: gateUp, y: act }, (s) => swigluGrid(shape, s));
  addMatmul(
    program,
    phase,
    { step, x: act, y, yStride, yOffset, ...(next ? { next } : {}) },
    weights.down,
  );
}
