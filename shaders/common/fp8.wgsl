// FP8 (e4m3fn): 16 codes in a vec4<u32>, low byte first; a BF16 scale for 128 weights of a row.
// A code's sign, exponent and mantissa moved into a half are its value / 256, subnormals included; 256 goes into the scale.
// Codes 0x7f and 0xff (NaN) become +-480: whoever loads weights refuses them.

alias Codes = vec4<u32>;
const SCALED: bool = true;
const BLOCK_UNITS: u32 = 8u;

fn decode_odd_bytes(word: u32) -> vec2<f32> {
  return unpack2x16float((word & 0x80008000u) | ((word >> 1u) & 0x3f803f80u));
}

fn decode_word(word: u32) -> vec4<f32> {
  let even = decode_odd_bytes(word << 8u);
  let odd = decode_odd_bytes(word);
  return vec4<f32>(even.x, odd.x, even.y, odd.y);
}

fn decode(q: Codes) -> Unit {
  return Unit(decode_word(q.x), decode_word(q.y), decode_word(q.z), decode_word(q.w));
}

fn scale_value(word: u32, index: u32) -> f32 {
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (index & 1u) == 1u)) * 256.0;
}
