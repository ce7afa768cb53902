/** Inputs for the kernels of the gated delta rule, how to run them, and what plain loops make of them. @module */
import { causalConv, causalConvGrid } from "../../shaders/causal_conv/causal_conv.ts";
import { numberToBf16 } from "../../shaders/common/bf16.ts";
import {
  DELTA_COEFFICIENTS,
  deltaPrepare,
  deltaPrepareGrid,
} from "../../shaders/delta_prepare/delta_prepare.ts";
import { deltaGatesNaive, splitQkvNaive } from "../../shaders/delta_prepare/naive.ts";
import { deltaScan, deltaScanGrid } from "../../shaders/delta_rule/delta_scan.ts";
import {
  deltaStep,
  deltaStepGrid,
  type DeltaStepSizes,
} from "../../shaders/delta_rule/delta_step.ts";
import { deltaRuleNaive } from "../../shaders/delta_rule/naive.ts";
import type { DeltaSizes } from "../../shaders/delta_rule/sizes.ts";
import { gatedRmsNormNaive } from "../../shaders/gated_rms_norm/naive.ts";
import { runKernel, sharingWays } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import { stepBuffers, type TestSegment } from "../step.ts";
import { words } from "./weights.ts";

type Words = Float32Array<ArrayBuffer>;

/** Buffers of the kernels for some rows. */
export interface DeltaCase {
  readonly sizes: DeltaSizes;
  /** silu of the first columns of `mixed`: the convolution takes the current row alone. */
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
  const mixed = pattern(rows * (channels + values), 12);
  const convolved = Float32Array.from({ length: rows * channels }, (_, i) => {
    const value = mixed[Math.floor(i / channels) * (channels + values) + i % channels]!;
    return value / (1 + Math.exp(-value));
  });
  return {
    sizes,
    convolved,
    mixed,
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

const TAPS = 4;

/** What `delta_step` makes q, k, v and the gates of: its sizes, and its buffers but the step's, states and output. */
export function stepInputs(c: DeltaCase): {
  readonly sizes: DeltaStepSizes;
  readonly buffers: Readonly<Record<string, Words | Uint32Array<ArrayBuffer>>>;
} {
  const { channels } = widths(c.sizes);
  const gates = 2 * c.sizes.valueHeads;
  const rows = c.ba.length / gates;
  const hidden = Math.ceil(gates / 16) * 16;
  // The gates are the identity, so that x is b and a.
  const identity = new Uint16Array(gates * hidden);
  for (let i = 0; i < gates; i++) identity[i * hidden + i] = numberToBf16(1);
  const x = new Float32Array(rows * hidden);
  for (let row = 0; row < rows; row++) {
    x.set(c.ba.subarray(row * gates, (row + 1) * gates), row * hidden);
  }
  const conv_weight = Float32Array.from(
    { length: channels * TAPS },
    (_, i) => i % TAPS === TAPS - 1 ? 1 : 0,
  );
  const { mixed, a_log, dt_bias, norm } = c;
  return {
    sizes: { ...c.sizes, hidden, convKernel: TAPS },
    buffers: { mixed, conv_weight, x, gates: words(identity), a_log, dt_bias, norm },
  };
}

/** Runs `delta_step` over `list` after the convolution; `out` is normed. */
export async function runStep(
  list: readonly TestSegment[],
  c: DeltaCase,
  { state, mostRows = 16, broadcast = false, squares }: {
    readonly state: Words;
    readonly mostRows?: number;
    readonly broadcast?: boolean;
    /** [rows, parts], where b and a are of an input that is not yet normed. */
    readonly squares?: Words;
  },
): Promise<{ out: Words; state: Words }> {
  const { rows, shape } = inputs(list, c);
  const { step, segments } = stepBuffers(list);
  const norm = squares && { norm: { parts: squares.length / rows, mostRows: 16 } };
  const { sizes, buffers } = stepInputs(c);
  const { channels, values, slot } = widths(c.sizes);
  const conv_state = new Float32Array(state.length / slot * TAPS * channels);
  const { y: convolved } = await runKernel(
    causalConv({ channels, taps: TAPS, stride: channels + values }),
    {
      ...{ step, segments, mixed: c.mixed, weight: buffers.conv_weight!, state: conv_state },
      y: { out: rows * channels },
    },
    causalConvGrid(channels)(shape),
  );
  const out = { out: rows * widths(c.sizes).values };
  let got: Record<string, Words> = { state: state.slice(), conv_state };
  for (const range of [{ fewestRows: 1, mostRows: 1 }, { fewestRows: 2, mostRows }]) {
    got = await runKernel(
      deltaStep({ ...sizes, ...norm }, { ...range, epsilon: EPSILON, broadcast }),
      {
        ...buffers,
        ...{ step, segments, convolved: convolved!, squares: squares ?? state, out },
        ...got,
      },
      deltaStepGrid(c.sizes)(shape),
    );
  }
  return { out: got.out!, state: got.state! };
}

const WAYS = await sharingWays();

/** Runs `delta_prepare` and `delta_scan` over `list`; `out` is not normed. */
export async function runChunked(
  list: readonly TestSegment[],
  c: DeltaCase,
  { state, mostRows = 0, broadcast = WAYS.includes(true) }: {
    readonly state: Words;
    readonly mostRows?: number;
    readonly broadcast?: boolean;
  },
): Promise<{ out: Words; state: Words }> {
  const { rows, shape, buffers } = inputs(list, c);
  const { step, segments, convolved, ba, a_log, dt_bias } = buffers;
  const length = rows * c.sizes.valueHeads * DELTA_COEFFICIENTS;
  const { coefficients } = await runKernel(
    deltaPrepare(c.sizes, mostRows, broadcast),
    { step, segments, convolved, ba, a_log, dt_bias, coefficients: { out: length } },
    deltaPrepareGrid(c.sizes, broadcast)(shape),
  );
  const got = await runKernel(
    deltaScan(c.sizes, mostRows, broadcast),
    {
      ...{ step, segments, convolved, coefficients: coefficients! },
      state: state.slice(),
      out: { out: rows * widths(c.sizes).values },
    },
    deltaScanGrid(c.sizes, broadcast)(shape),
  );
  return { out: got.out!, state: got.state! };
}

function inputs(list: readonly TestSegment[], c: DeltaCase) {
  const rows = list.reduce((sum, s) => sum + s.rows, 0);
  const buffers = { ...stepBuffers(list), ...c };
  return { rows, shape: { rows, segments: list.length, headRows: 0, maxContext: 0 }, buffers };
}
