/** e4m3fn codes on the host, and how kernels decode them. @module */
import { bf16ToNumber } from "./bf16.ts";

/** The ways in which kernels decode a code, all to the same bits; what fp8.wgsl says of them. */
export const FP8_DECODERS = ["pairs", "shift", "safe"] as const;

/** One of them. */
export type Fp8Decoder = typeof FP8_DECODERS[number];

/** The override constant of a decoder: for every kernel that has the FP8 snippet. */
export function fp8DecoderConstants(decoder: Fp8Decoder): Readonly<Record<string, number>> {
  return { FP8_DECODE: FP8_DECODERS.indexOf(decoder) };
}

/** The value of one e4m3fn code (0-255); NaN for 0x7f and 0xff. */
export function fp8ToNumber(code: number): number {
  const sign = code & 0x80 ? -1 : 1;
  const exponent = (code >> 3) & 15;
  const mantissa = code & 7;
  if (exponent === 15 && mantissa === 7) return NaN;
  return sign * (exponent ? (8 + mantissa) * 2 ** (exponent - 10) : mantissa * 2 ** -9);
}

/** Shape of an FP8 matrix and how many of its rows share one row of scales. */
export interface Fp8Shape {
  readonly n: number;
  readonly k: number;
  /** 128 unless said. */
  readonly scaleRows?: number;
}

/** The weights [n, k] of codes [n, k] and BF16 scales [ceil(n / scaleRows), ceil(k / 128)]: exact in f32. */
export function dequantizeFp8(
  codes: ArrayLike<number>,
  scales: ArrayLike<number>,
  { n, k, scaleRows = 128 }: Fp8Shape,
): Float32Array<ArrayBuffer> {
  const weights = new Float32Array(n * k);
  const across = Math.ceil(k / 128);
  for (let row = 0; row < n; row++) {
    for (let column = 0; column < k; column++) {
      const scale = scales[Math.floor(row / scaleRows) * across + (column >> 7)]!;
      weights[row * k + column] = fp8ToNumber(codes[row * k + column]!) * bf16ToNumber(scale);
    }
  }
  return weights;
}
