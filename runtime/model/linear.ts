/** Adds the product of a placed matrix to a program. @module */
import type { StepShape } from "../../shaders/kernel_spec.ts";
import {
  type FewTile,
  matmulFew,
  matmulFewGrid,
  matmulLanes,
  matmulMany,
  matmulManyGrid,
  type MatmulShape,
} from "../../shaders/matmul/matmul.ts";
import type { Program } from "../gpu/program.ts";
import { DECODE_ROWS, type Matrix, type Phase } from "./parts.ts";

/** Where a product reads and writes: f32 rows, strides and offsets in elements. */
export interface MatmulIo {
  readonly step: GPUBuffer;
  readonly x: GPUBuffer;
  readonly y: GPUBuffer;
  /** The matrix's k unless said. */
  readonly xStride?: number;
  readonly xOffset?: number;
  /** The matrix's n unless said. */
  readonly yStride?: number;
  readonly yOffset?: number;
  /** Add to y instead of replacing it. */
  readonly accumulate?: boolean;
  /** Rows are `step.head_rows` instead of `step.rows`. */
  readonly head?: boolean;
}

/**
 * Adds `y[row] (+)= W x[row]` for all slices of `matrix`. Up to 16 rows run kernels in which a row has the same
 * bits whatever its neighbours; "prefill" programs have the tiled kernel too, for more. One dispatch a slice.
 */
export function addMatmul(program: Program, phase: Phase, io: MatmulIo, matrix: Matrix): void {
  const { step, x, y } = io;
  for (const { firstRow, rows, codes, scales } of matrix.slices) {
    const shape: MatmulShape = {
      format: matrix.format,
      n: rows,
      k: matrix.k,
      scaleRows: matrix.scaleRows,
      xStride: io.xStride ?? matrix.k,
      xOffset: io.xOffset ?? 0,
      yStride: io.yStride ?? matrix.n,
      yOffset: (io.yOffset ?? 0) + firstRow,
      accumulate: io.accumulate ?? false,
      head: io.head ?? false,
      lanes: matmulLanes(matrix.n),
    };
    const buffers = { step, codes, scales: scales ?? codes, x, y };
    const rowsOf = (s: StepShape) => shape.head ? s.headRows : s.rows;
    const few = (tile: FewTile, from: number, to: number) =>
      program.add(
        matmulFew(shape, tile),
        buffers,
        (s) => rowsOf(s) >= from && rowsOf(s) <= to ? matmulFewGrid(shape, tile, s) : [0, 0, 0],
      );
    few(1, 1, 1);
    few(4, 2, DECODE_ROWS);
    if (phase === "prefill") {
      program.add(
        matmulMany(shape),
        buffers,
        (s) => rowsOf(s) > DECODE_ROWS ? matmulManyGrid(shape, s) : [0, 0, 0],
      );
    }
  }
}
