/** bfloat16 on the host. @module */

const bits = new DataView(new ArrayBuffer(4));

/** The value of 16 bits of bfloat16. */
export function bf16ToNumber(half: number): number {
  bits.setUint32(0, half << 16);
  return bits.getFloat32(0);
}

/** The nearest bfloat16 of a number (ties to even), as 16 bits. */
export function numberToBf16(value: number): number {
  bits.setFloat32(0, value);
  const word = bits.getUint32(0);
  return Number.isNaN(value) ? 0x7fc0 : ((word + 0x7fff + ((word >>> 16) & 1)) >>> 16) & 0xffff;
}

/** The values of an array of bfloat16 bits. */
export function dequantizeBf16(halves: ArrayLike<number>): Float32Array<ArrayBuffer> {
  const values = new Float32Array(halves.length);
  for (let i = 0; i < halves.length; i++) values[i] = bf16ToNumber(halves[i]!);
  return values;
}
