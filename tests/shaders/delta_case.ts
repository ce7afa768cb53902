/** Inputs for the kernels of the gated delta rule, how to run them, and what plain loops make of them. @module */
import {
  DELTA_COEFFICIENTS,
  deltaPrepare,
  deltaPrepareGrid,
} from "../../shaders/delta_prepare/delta_prepare.ts";
import { deltaGatesNaive, splitQkvNaive } from "../../shaders/delta_prepare/naive.ts";
import { deltaScan, deltaScanGrid } from "../../shaders/delta_rule/delta_scan.ts";
import { deltaStep, deltaStepGrid } from "../../shaders/delta_rule/delta_step.ts";
import { deltaRuleNaive } from "../../shaders/delta_rule/naive.ts";
import type { DeltaSizes } from "../../shaders/delta_rule/sizes.ts";
import { gatedRmsNormNaive } from "../../shaders/gated_rms_norm/naive.ts";
import { runKernel } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import { stepBuffers, type TestSegment } from "../step.ts";

type Words = Float32Array<ArrayBuffer>;

/** Buffers of the kernels for some rows. */
export interface DeltaCase {
  readonly sizes: DeltaSizes;
  readonly convolved: Words;
  readonly mixed: Words;
  readonly ba: Words;
  readonly a_log: Words;
  readonly dt_bias: Words;
  readonly norm: Words;
}

export const EPSILON = 1e-6;

/** Columns of q, k and v, and of the output. */
export function widths(s: DeltaSizes): { channels: number; values: number; slot: number } {
  const values = s.valueHeads * s.valueDim;
  return {
    channels: 2 * s.keyHeads * s.keyDim + values,
    values,
    slot: s.valueHeads * s.keyDim * s.valueDim,
  };
}

/** `rows` rows of patterned inputs. */
export function deltaCase(rows: number, sizes: DeltaSizes): DeltaCase {
  const { channels, values } = widths(sizes);
  return {
    sizes,
    convolved: pattern(rows * channels, 11),
    mixed: pattern(rows * (channels + values), 12),
    ba: pattern(rows * 2 * sizes.valueHeads, 13).map((value) => 3 * value),
    a_log: pattern(sizes.valueHeads, 14),
    dt_bias: pattern(sizes.valueHeads, 15),
    norm: pattern(sizes.valueDim, 16),
  };
}

/** Rows `from` to `to` of a case. */
export function rowsOf(c: DeltaCase, from: number, to: number): DeltaCase {
  const { channels, values } = widths(c.sizes);
  const cut = (a: Words, width: number): Words => a.slice(from * width, to * width);
  return {
    ...c,
    convolved: cut(c.convolved, channels),
    mixed: cut(c.mixed, channels + values),
    ba: cut(c.ba, 2 * c.sizes.valueHeads),
  };
}

/** One sequence in double precision: `rule` before the gated norm, `out` after it. */
export function deltaNaive(
  c: DeltaCase,
  state: ArrayLike<number> | null,
): { rule: Float64Array; out: Float64Array; state: Float64Array } {
  const { channels, values } = widths(c.sizes);
  const gates = deltaGatesNaive(c.ba, { aLog: c.a_log, dtBias: c.dt_bias });
  const got = deltaRuleNaive(
    { ...splitQkvNaive(c.convolved, c.sizes), ...gates, state },
    c.sizes,
  );
  const z = Float64Array.from(
    got.out,
    (_, i) => c.mixed[Math.floor(i / values) * (channels + values) + channels + i % values]!,
  );
  const out = gatedRmsNormNaive({ x: got.out, z, weight: c.norm }, EPSILON);
  return { rule: got.out, out, state: got.state };
}

/** Runs `delta_step` over `list`; `out` is normed. */
export async function runStep(
  list: readonly TestSegment[],
  c: DeltaCase,
  { state, mostRows = 16 }: { readonly state: Words; readonly mostRows?: number },
): Promise<{ out: Words; state: Words }> {
  const { rows, shape, buffers } = inputs(list, c);
  const { step, segments, convolved, ba, a_log, dt_bias } = buffers;
  const got = await runKernel(
    deltaStep(c.sizes, { mostRows, epsilon: EPSILON }),
    {
      ...{ step, segments, convolved, ba, a_log, dt_bias, mixed: c.mixed, norm: c.norm },
      state: state.slice(),
      out: { out: rows * widths(c.sizes).values },
    },
    deltaStepGrid(c.sizes)(shape),
  );
  return { out: got.out!, state: got.state! };
}

/** Runs `delta_prepare` and `delta_scan` over `list`; `out` is not normed. */
export async function runChunked(
  list: readonly TestSegment[],
  c: DeltaCase,
  { state, mostRows = 0 }: { readonly state: Words; readonly mostRows?: number },
): Promise<{ out: Words; state: Words }> {
  const { rows, shape, buffers } = inputs(list, c);
  const { step, segments, convolved, ba, a_log, dt_bias } = buffers;
  const length = rows * c.sizes.valueHeads * DELTA_COEFFICIENTS;
  const { coefficients } = await runKernel(
    deltaPrepare(c.sizes, mostRows),
    { step, segments, convolved, ba, a_log, dt_bias, coefficients: { out: length } },
    deltaPrepareGrid(c.sizes)(shape),
  );
  const got = await runKernel(
    deltaScan(c.sizes, mostRows),
    {
      ...{ step, segments, convolved, coefficients: coefficients! },
      state: state.slice(),
      out: { out: rows * widths(c.sizes).values },
    },
    deltaScanGrid(c.sizes)(shape),
  );
  return { out: got.out!, state: got.state! };
}

function inputs(list: readonly TestSegment[], c: DeltaCase) {
  const rows = list.reduce((sum, s) => sum + s.rows, 0);
  const buffers = { ...stepBuffers(list), ...c };
  return { rows, shape: { rows, segments: list.length, headRows: 0, maxContext: 0 }, buffers };
}
