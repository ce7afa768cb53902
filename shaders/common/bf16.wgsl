// BF16: 16 halves in two vec4<u32>, low half first; no scales.

struct Codes {
  low: vec4<u32>,
  high: vec4<u32>,
}
const SCALED: bool = false;
const BLOCK_UNITS: u32 = 8u;

fn decode_words(words: vec2<u32>) -> vec4<f32> {
  return bitcast<vec4<f32>>(vec4<u32>(
    words.x << 16u, words.x & 0xffff0000u, words.y << 16u, words.y & 0xffff0000u));
}

fn decode(q: Codes) -> Unit {
  return Unit(decode_words(q.low.xy), decode_words(q.low.zw), decode_words(q.high.xy), decode_words(q.high.zw));
}

fn scale_value(word: u32, index: u32) -> f32 {
  return 1.0;
}
