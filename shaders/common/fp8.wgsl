// FP8 (e4m3fn): 16 codes in a vec4<u32>, low byte first; a BF16 scale for 128 weights of a row.
// Three ways to the same bits, a code's value / 256; 256 goes into the scale. Codes 0x7f and 0xff (NaN) become +-480:
// whoever loads weights refuses them. Which way is fastest, and whether a device keeps subnormals, is measured at start.

override FP8_DECODE: u32 = 0u; // place in FP8_DECODERS: pairs, shift, safe

alias Codes = vec4<u32>;
const SCALED: bool = true;
const BLOCK_UNITS: u32 = 8u;

// Pairs: sign, exponent and mantissa moved into two halves at a time; a subnormal code is a subnormal half.
fn decode_odd_bytes(word: u32) -> vec2<f32> {
  return unpack2x16float((word & 0x80008000u) | ((word >> 1u) & 0x3f803f80u));
}

fn decode_pairs(word: u32) -> vec4<f32> {
  let even = decode_odd_bytes(word << 8u);
  let odd = decode_odd_bytes(word);
  return vec4<f32>(even.x, odd.x, even.y, odd.y);
}

// Each code in the highest byte of an element.
fn code_bytes(word: u32) -> vec4<u32> {
  return vec4<u32>(word) << vec4<u32>(24u, 16u, 8u, 0u);
}

// Shift: moved into an f32, which is then the value / 2^120; a subnormal code is a subnormal f32. The factor is not left to
// the scale: products with x would lose bits so near the smallest f32.
fn decode_shift(word: u32) -> vec4<f32> {
  let moved = bitcast<vec4<u32>>(bitcast<vec4<i32>>(code_bytes(word)) >> vec4<u32>(4u)) & vec4<u32>(0x87f00000u);
  return bitcast<vec4<f32>>(moved) * 0x1p112;
}

// Safe: without subnormals. With the exponent of the smallest normal code a subnormal one is that much too large.
fn decode_safe(word: u32) -> vec4<f32> {
  let bytes = code_bytes(word);
  let size = (bytes >> vec4<u32>(4u)) & vec4<u32>(0x07f00000u);
  let normal = bitcast<vec4<f32>>(size + vec4<u32>(112u << 23u));
  let subnormal = bitcast<vec4<f32>>(size + vec4<u32>(113u << 23u)) - vec4<f32>(0x1p-14);
  let value = select(normal, subnormal, size < vec4<u32>(1u << 23u));
  return bitcast<vec4<f32>>(bitcast<vec4<u32>>(value) | (bytes & vec4<u32>(0x80000000u)));
}

fn decode_word(word: u32) -> vec4<f32> {
  if (FP8_DECODE == 1u) { return decode_shift(word); }
  if (FP8_DECODE == 2u) { return decode_safe(word); }
  return decode_pairs(word);
}

fn decode(q: Codes) -> Unit {
  return Unit(decode_word(q.x), decode_word(q.y), decode_word(q.z), decode_word(q.w));
}

fn scale_value(word: u32, index: u32) -> f32 {
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (index & 1u) == 1u)) * 256.0;
}
