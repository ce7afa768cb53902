/** Quantised test matrices with the values they decode to. @module */
import { dequantizeBf16, numberToBf16 } from "../../shaders/common/bf16.ts";
import { type FormatName, FORMATS } from "../../shaders/common/formats.ts";
import { dequantizeFp8 } from "../../shaders/common/fp8.ts";
import { dequantizeInt8, quantizeNaive } from "../../shaders/quantize/naive.ts";
import { hash, pattern } from "../pattern.ts";

/** A matrix as kernels read it and as naive code does. */
export interface TestMatrix {
  readonly codes: Uint32Array<ArrayBuffer>;
  /** Empty words for a format without scales, never read. */
  readonly scales: Uint32Array<ArrayBuffer>;
  /** [n, k]: exactly what the codes and scales mean. */
  readonly dense: Float32Array<ArrayBuffer>;
}

/** Every finite code, in a fixed disorder. */
export function fp8Codes(length: number, salt: number): Uint8Array<ArrayBuffer> {
  const codes = new Uint8Array(length);
  for (let i = 0; i < length; i++) {
    const code = hash(i, salt) & 0xff;
    codes[i] = (code & 0x7f) === 0x7f ? 0x3c : code;
  }
  return codes;
}

/** A matrix [n, k] in `format`; scales differ from block to block, by up to a factor of 4 where they are chosen freely. */
export function testMatrix(
  format: FormatName,
  { n, k, scaleRows = 128 }: { n: number; k: number; scaleRows?: number },
  salt = 1,
): TestMatrix {
  if (format === "bf16") {
    const halves = Uint16Array.from(pattern(n * k, salt), numberToBf16);
    return { codes: words(halves), scales: new Uint32Array(4), dense: dequantizeBf16(halves) };
  }
  if (format === "int8") {
    const rounded = quantizeNaive(pattern(n * k, salt), { rows: n, k });
    const { codes, scales } = rounded;
    return { codes: words(codes), scales: words(scales), dense: dequantizeInt8(rounded, k) };
  }
  const codes = fp8Codes(n * k, salt);
  const count = Math.ceil(n / scaleRows) * Math.ceil(k / FORMATS[format].blockK);
  const scales = Uint16Array.from(
    pattern(count, salt + 1),
    (value) => numberToBf16(0.01 + 0.0075 * value),
  );
  return {
    codes: words(codes),
    scales: words(scales),
    dense: dequantizeFp8(codes, scales, { n, k, scaleRows }),
  };
}

/** The bytes of an array as whole quads of words. */
export function words(array: Uint8Array | Int8Array | Uint16Array): Uint32Array<ArrayBuffer> {
  const bytes = new Uint8Array(Math.ceil(array.byteLength / 16) * 16);
  bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  return new Uint32Array(bytes.buffer);
}
