// 8-bit integers: 16 codes in a vec4<u32>, low byte first; a BF16 scale for 128 weights of a row.

alias Codes = vec4<u32>;
const SCALED: bool = true;
const BLOCK_UNITS: u32 = 8u;

fn decode_word(word: u32) -> vec4<f32> {
  return vec4<f32>(unpack4xI8(word));
}

fn decode(q: Codes) -> Unit {
  return Unit(decode_word(q.x), decode_word(q.y), decode_word(q.z), decode_word(q.w));
}

fn scale_value(word: u32, index: u32) -> f32 {
  return bitcast<f32>(select(word << 16u, word & 0xffff0000u, (index & 1u) == 1u));
}
