/** The first half of a zero-centred RMSNorm of few rows, whose second half is left to those who read them. @module */
import { STEP_WGSL } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import source from "./split_norm.wgsl" with { type: "text" };

/** How a row is cut. */
export interface SplitNormShape {
  /** A multiple of 4. */
  readonly width: number;
  /** Columns whose squares are added up, a multiple of 4. */
  readonly block: number;
  /** Sums of a row: one for each block, then zeros up to a multiple of 4. */
  readonly parts: number;
}

const THREADS = 32;

/**
 * `scaled = x * (1 + weight)`, and sums of the squares of x: x and scaled f32 [rows, width], weight f32 [width], squares f32
 * [rows, parts].
 * @throws {RangeError} unless the blocks are whole quads and all have a part
 */
export function splitNorm({ width, block, parts }: SplitNormShape): KernelSpec {
  if (width % 4 || block % 4 || parts % 4 || parts * block < width) {
    throw new RangeError(
      `Cannot split the norm of rows of ${width} into ${parts} blocks of ${block}: expected multiples of 4, and a block for each column`,
    );
  }
  return {
    name: "split_norm",
    source: STEP_WGSL + source,
    bindings: {
      step: "read",
      x: "read",
      weight: "read",
      scaled: "read_write",
      squares: "read_write",
    },
    constants: { WIDTH: width, BLOCK: block, PARTS: parts },
  };
}

/** A thread for each block of each row. */
export function splitNormGrid({ parts }: SplitNormShape, step: StepShape): Grid {
  return [ceilDiv(parts, THREADS), step.rows, 1];
}
