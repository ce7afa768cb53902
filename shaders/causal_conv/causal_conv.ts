/** Causal depthwise convolution with SiLU over the rows of each segment, with carried state. @module */
import { mostBlocks, SEGMENT_BLOCKS_WGSL } from "../common/segment_blocks.ts";
import { SILU_WGSL } from "../common/silu.ts";
import { STEP_WGSL } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import source from "./causal_conv.wgsl" with { type: "text" };
import ring from "./ring.wgsl" with { type: "text" };
import taps from "./taps.wgsl" with { type: "text" };

/** WGSL text of `ring_column(segment, t)`, where a state slot keeps the inputs; it needs `STEP_WGSL`. */
export const CONV_RING_WGSL: string = ring;

/** WGSL text of `taps_of(quad)`, the weights of four channels; it needs `CONV_RING_WGSL` and `conv_weight` by quads. */
export const CONV_TAPS_WGSL: string = taps;

/** Sizes of the convolution. */
export interface CausalConvSizes {
  /** A multiple of 4. */
  readonly channels: number;
  readonly taps: number;
  /** Columns of a row of `mixed`, at least `channels`; a multiple of 4. */
  readonly stride: number;
  /** Segments of fewer rows are left alone; 1 unless said. */
  readonly fewestRows?: number;
}

/**
 * mixed [rows, stride], weight [channels, taps], state [slots, taps, channels], y [rows, channels]; f32.
 * @throws {RangeError} unless there are 2 to 4 taps, and columns in fours
 */
export function causalConv(
  { channels, taps, stride, fewestRows = 1 }: CausalConvSizes,
): KernelSpec {
  if (taps < 2 || taps > 4) {
    throw new RangeError(`Cannot convolve over ${taps} rows: expected 2 to 4`);
  }
  if (channels % 4 || stride % 4) {
    throw new RangeError(
      `Cannot convolve ${channels} channels of rows of ${stride}: expected multiples of 4`,
    );
  }
  return {
    name: "causal_conv",
    source: STEP_WGSL + SEGMENT_BLOCKS_WGSL + SILU_WGSL + CONV_RING_WGSL + CONV_TAPS_WGSL + source,
    bindings: {
      step: "read",
      segments: "read",
      mixed: "read",
      weight: "read",
      state: "read_write",
      y: "read_write",
    },
    constants: { CHANNELS: channels, STRIDE: stride, TAPS: taps, FEWEST_ROWS: fewestRows },
  };
}

/** One thread four channels, one workgroup row a block of rows. */
export function causalConvGrid(channels: number): (step: StepShape) => Grid {
  return (step) => [ceilDiv(channels, 4 * 64), mostBlocks(step), 1];
}
