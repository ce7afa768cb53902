/** Rounding to 8 bits in plain loops. @module */
import { bf16ToNumber } from "../common/bf16.ts";
import { INT8_SCALE_ROWS, int8ScaleCount, type QuantizeShape } from "./quantize.ts";

/** A matrix in the format `int8`. */
export interface Int8Matrix {
  /** [rows, k], -127 to 127. */
  readonly codes: Int8Array<ArrayBuffer>;
  /** BF16 [ceil(rows / 8), ceil(k / 128)]. */
  readonly scales: Uint16Array<ArrayBuffer>;
}

/** Codes and scales of `weights` [rows, k]: the scale of a block is its largest weight / 127, rounded up to BF16. */
export function quantizeNaive(weights: ArrayLike<number>, shape: QuantizeShape): Int8Matrix {
  const { rows, k } = shape;
  const scales = new Uint16Array(int8ScaleCount(shape));
  const largest = new Float32Array(scales.length);
  const codes = new Int8Array(rows * k);
  for (let i = 0; i < codes.length; i++) {
    const block = blockOf(i, k);
    largest[block] = Math.max(largest[block]!, Math.abs(weights[i]!));
  }
  const bits = new Uint32Array(largest.map((value) => Math.fround(value / 127)).buffer);
  bits.forEach((word, block) => scales[block] = (word + 0xffff) >>> 16);
  for (let i = 0; i < codes.length; i++) {
    const scale = bf16ToNumber(scales[blockOf(i, k)]!);
    codes[i] = scale === 0 ? 0 : Math.max(-127, Math.min(127, Math.round(weights[i]! / scale)));
  }
  return { codes, scales };
}

/** The weights [rows, k] that codes and scales stand for: exact in f32. */
export function dequantizeInt8(
  { codes, scales }: Int8Matrix,
  k: number,
): Float32Array<ArrayBuffer> {
  return Float32Array.from(codes, (code, i) => code * bf16ToNumber(scales[blockOf(i, k)]!));
}

/** The block of the element `i` of a matrix with rows of `k`. */
function blockOf(i: number, k: number): number {
  return Math.floor(i / k / INT8_SCALE_ROWS) * Math.ceil(k / 128) + (i % k >> 7);
}
