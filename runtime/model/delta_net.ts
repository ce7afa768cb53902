/** Adds a Gated DeltaNet mixer, between its large projections, to a program. @module */
import { causalConv, causalConvGrid } from "../../shaders/causal_conv/causal_conv.ts";
import {
  DELTA_COEFFICIENTS,
  deltaPrepare,
  deltaPrepareGrid,
} from "../../shaders/delta_prepare/delta_prepare.ts";
import { deltaScan, deltaScanGrid } from "../../shaders/delta_rule/delta_scan.ts";
import { deltaStep, deltaStepGrid } from "../../shaders/delta_rule/delta_step.ts";
import { tileCut } from "../../shaders/common/tile.ts";
import { gatedRmsNorm, gatedRmsNormGrid } from "../../shaders/gated_rms_norm/gated_rms_norm.ts";
import type { Grid, StepShape } from "../../shaders/kernel_spec.ts";
import type { Program } from "../gpu/program.ts";
import type { DeltaConfig } from "./config.ts";
import { addMatmul, squareParts } from "./linear.ts";
import {
  DECODE_ROWS,
  type DeltaState,
  type DeltaWeights,
  type Phase,
  type Scratch,
  type SplitNorm,
  type StepBuffers,
} from "./parts.ts";

/** What the mixer of one layer is made of. */
export interface DeltaNetParts {
  readonly steps: StepBuffers;
  /** Buffers of the sizes that `deltaScratch` names. */
  readonly scratch: Scratch;
  readonly weights: Pick<DeltaWeights, "ba" | "conv" | "aLog" | "dtBias" | "norm">;
  readonly state: DeltaState;
  /** Sizes that the kernels know, at most 4 taps; the epsilon is that of the gated norm. */
  readonly shape: DeltaConfig & { readonly hidden: number; readonly epsilon: number };
}

/** Where the mixer reads and writes; f32, C = 2 keyHeads keyDim + V, V = valueHeads valueDim. */
export interface DeltaNetIo {
  /** [rows, hidden]: the normed input, the `scaled` of `norm` where there is one. */
  readonly x: GPUBuffer;
  /** Null where x is normed in any step. */
  readonly norm: SplitNorm | null;
  /** [rows, C + V]: W_qkvz x. */
  readonly mixed: GPUBuffer;
  /** [rows, V]: normed and gated, what the output projection takes. */
  readonly out: GPUBuffer;
}

/** Bytes of the scratch buffers that all layers share, for steps of up to `maxRows` rows. */
export function deltaScratch(shape: DeltaConfig, maxRows: number): Record<string, number> {
  // Segments of so few rows never reach the chunked kernels.
  const chunkedRows = maxRows > DECODE_ROWS ? maxRows : 0;
  return {
    convolved: 4 * maxRows * channelsOf(shape),
    gates: 4 * chunkedRows * 2 * shape.valueHeads,
    coefficients: 4 * chunkedRows * shape.valueHeads * DELTA_COEFFICIENTS,
  };
}

/**
 * Adds gates, convolution, delta rule and gated norm: 1 dispatch where each segment has one row, up to 3 for "decode"
 * and 7 for "prefill": 2 and 5 for a segment that is alone. Segments of up to 16 rows run row by row and longer ones in
 * chunks, in either phase: so the bits of a segment depend on nothing but its own rows and state.
 * @throws {RangeError} for sizes that the kernels were not written for
 * @throws {TypeError} if a scratch buffer is missing
 */
export function addDeltaNet(
  program: Program,
  phase: Phase,
  parts: DeltaNetParts,
  io: DeltaNetIo,
): void {
  addConvolution(program, parts, io);
  addShortSegments(program, parts, io);
  if (phase === "prefill") addLongSegments(program, parts, io);
}

function addConvolution(
  program: Program,
  { steps, scratch, weights, state, shape }: DeltaNetParts,
  { mixed }: DeltaNetIo,
): void {
  const channels = channelsOf(shape);
  const stride = channels + valuesOf(shape);
  program.add(
    causalConv({ channels, taps: shape.convKernel, stride, fewestRows: 2 }),
    {
      step: steps.step,
      segments: steps.segments,
      mixed,
      weight: weights.conv,
      state: state.conv,
      y: need(scratch, "convolved"),
    },
    (step) => step.rows > step.segments ? causalConvGrid(channels)(step) : [0, 0, 0],
  );
}

function addShortSegments(
  program: Program,
  { steps, scratch, weights, state, shape }: DeltaNetParts,
  { x, norm, mixed, out }: DeltaNetIo,
): void {
  const { format, slices: [gates, ...more] } = weights.ba;
  if (!gates || more.length || format !== "bf16") {
    throw new TypeError(
      `Cannot add DeltaNet: its gates are ${weights.ba.slices.length} ${format} matrices, wanted one of bf16`,
    );
  }
  const sizes = {
    ...shape,
    ...(norm
      ? { norm: { parts: squareParts(norm, program.kernels.variant), mostRows: DECODE_ROWS } }
      : {}),
  };
  const buffers = {
    step: steps.step,
    segments: steps.segments,
    mixed,
    convolved: need(scratch, "convolved"),
    conv_weight: weights.conv,
    x,
    gates: gates.codes,
    a_log: weights.aLog,
    dt_bias: weights.dtBias,
    norm: weights.norm,
    conv_state: state.conv,
    state: state.state,
    out,
    squares: norm?.squares ?? x,
  };
  const grid = deltaStepGrid(shape);
  const { broadcast } = tileCut(program.kernels);
  const options = { epsilon: shape.epsilon, broadcast };
  program.add(
    deltaStep(sizes, { fewestRows: 1, mostRows: 1, ...options }),
    buffers,
    (step) => canHaveRows(step, 1) ? grid(step) : [0, 0, 0],
  );
  program.add(
    deltaStep(sizes, { fewestRows: 2, mostRows: DECODE_ROWS, ...options }),
    buffers,
    (step) => step.rows > step.segments && canHaveRows(step, DECODE_ROWS) ? grid(step) : [0, 0, 0],
  );
}

function addLongSegments(
  program: Program,
  { steps, scratch, weights, state, shape }: DeltaNetParts,
  { x, mixed, out }: DeltaNetIo,
): void {
  const { step, segments, rows } = steps;
  const ba = need(scratch, "gates");
  addMatmul(program, "prefill", { step, x, y: ba, fewestRows: DECODE_ROWS + 1 }, weights.ba);
  const convolved = need(scratch, "convolved");
  const coefficients = need(scratch, "coefficients");
  const { broadcast } = tileCut(program.kernels);
  program.add(
    deltaPrepare(shape, DECODE_ROWS, broadcast),
    { step, segments, convolved, ba, a_log: weights.aLog, dt_bias: weights.dtBias, coefficients },
    ifLong(deltaPrepareGrid(shape, broadcast)),
  );
  program.add(
    deltaScan(shape, DECODE_ROWS, broadcast),
    { step, segments, convolved, coefficients, state: state.state, out },
    ifLong(deltaScanGrid(shape, broadcast)),
  );
  const channels = channelsOf(shape);
  program.add(
    gatedRmsNorm({
      heads: shape.valueHeads,
      width: shape.valueDim,
      stride: channels + valuesOf(shape),
      offset: channels,
      epsilon: shape.epsilon,
      mostRows: DECODE_ROWS,
    }, broadcast),
    { step, rows, segments, gate: mixed, weight: weights.norm, x: out },
    ifLong(gatedRmsNormGrid(shape.valueHeads, broadcast)),
  );
}

/** Whether a segment of the step may have no more than so many rows: one that is alone has them all. */
function canHaveRows({ rows, segments }: StepShape, mostRows: number): boolean {
  return segments > 1 || rows <= mostRows;
}

/** The grid, or none where the step is too short to have a long segment. */
function ifLong(grid: (step: StepShape) => Grid): (step: StepShape) => Grid {
  return (step) => step.rows > DECODE_ROWS ? grid(step) : [0, 0, 0];
}

function valuesOf({ valueHeads, valueDim }: DeltaConfig): number {
  return valueHeads * valueDim;
}

function channelsOf(shape: DeltaConfig): number {
  return 2 * shape.keyHeads * shape.keyDim + valuesOf(shape);
}

function need(scratch: Scratch, name: string): GPUBuffer {
  const buffer = scratch[name];
  if (!buffer) {
    throw new TypeError(
      `Cannot add DeltaNet: scratch buffer "${name}" is missing, wanted those of deltaScratch()`,
    );
  }
  return buffer;
}
