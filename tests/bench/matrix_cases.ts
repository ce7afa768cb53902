/** Benchmarks of matrix products. @module */
import { addMatmul } from "../../runtime/model/linear.ts";
import { DECODE_ROWS, type Matrix } from "../../runtime/model/parts.ts";
import { dequantizeBf16, numberToBf16 } from "../../shaders/common/bf16.ts";
import { dequantizeFp8 } from "../../shaders/common/fp8.ts";
import { pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";
import { randomWords } from "./ceilings.ts";
import type { KernelCase } from "./kernel_case.ts";

/** A matrix of the model. */
export interface MatrixShape {
  readonly name: string;
  readonly format: "fp8" | "bf16";
  readonly n: number;
  readonly k: number;
}

/** Bytes that a decode step reads before it comes back to a matrix; the last copy is the one that is checked. */
const BETWEEN_BYTES = 128 * 2 ** 20;
const MOST_COPIES = 32;
/** Outputs of a product that the CPU computes too. */
const CHECKED = 48;
/** Codes have a deviation of 130. */
const SCALE = 0.01;

/** A product with `rows` rows of x. */
export function matmulCase(matrix: MatrixShape, rows: number): KernelCase {
  const { format, n, k, name } = matrix;
  const bytes = bytesOf(matrix);
  return {
    name: `${name} [${n}, ${k}] ${format}, ${rows} ${rows === 1 ? "row" : "rows"}`,
    bytes,
    flops: 2 * n * k * rows,
    limit: rows > DECODE_ROWS ? "flops" : "bytes",
    place(bench) {
      const codes = format === "fp8" ? randomWords(n * k / 4) : bf16Words(n * k);
      const scaleCount = Math.ceil(n / 128) * Math.ceil(k / 128);
      const scales = new Uint16Array(Math.ceil(scaleCount / 8) * 8).fill(numberToBf16(SCALE));
      const copies = rows > 1 ? 1 : Math.min(MOST_COPIES, Math.ceil(BETWEEN_BYTES / bytes));
      const x = pattern(rows * k, 3);
      const y = bench.place(4 * rows * n);
      const program = bench.program();
      const io = { step: bench.place(stepBuffers([{ rows }]).step), x: bench.place(x), y };
      for (let copy = 0; copy < copies; copy++) {
        const slice = {
          firstRow: 0,
          rows: n,
          codes: bench.place(codes),
          scales: format === "fp8" ? bench.place(scales) : null,
        };
        const placed: Matrix = { format, n, k, scaleRows: 128, slices: [slice] };
        addMatmul(program, rows > DECODE_ROWS ? "prefill" : "decode", io, placed);
      }
      const indices = Array.from({ length: CHECKED }, (_, i) => i * 7919 * 31 % (rows * n));
      const want = indices.map((index) => {
        const w = denseRow(format, codes, { row: index % n, k });
        const at = Math.floor(index / n) * k;
        return w.reduce((sum, value, i) => sum + value * x[at + i]!, 0);
      });
      const shape = { rows, segments: 1, headRows: 1, maxContext: rows };
      return { program, copies, shape, check: { output: y, length: rows * n, indices, want } };
    },
  };
}

/** Bytes of a matrix with its scales. */
export function bytesOf({ format, n, k }: MatrixShape): number {
  return format === "bf16" ? 2 * n * k : n * k + 2 * Math.ceil(n / 128) * Math.ceil(k / 128);
}

/** Random BF16 numbers below 1. */
function bf16Words(count: number): Uint32Array<ArrayBuffer> {
  const part = Uint16Array.from(pattern(65_537, 9), numberToBf16);
  const halves = new Uint16Array(count);
  for (let at = 0; at < count; at += part.length) halves.set(part.subarray(0, count - at), at);
  return new Uint32Array(halves.buffer);
}

function denseRow(
  format: "fp8" | "bf16",
  words: Uint32Array<ArrayBuffer>,
  { row, k }: { readonly row: number; readonly k: number },
): Float32Array {
  if (format === "bf16") return dequantizeBf16(new Uint16Array(words.buffer, row * k * 2, k));
  const scales = new Uint16Array(Math.ceil(k / 128)).fill(numberToBf16(SCALE));
  return dequantizeFp8(new Uint8Array(words.buffer, row * k, k), scales, { n: 1, k });
}
