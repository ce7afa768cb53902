// Keys and values as f16, two a word, low half first: an octet is one load of 16 bytes. What f16 cannot hold (beyond
// +-65504) becomes the nearest it can, so that nothing in the cache is infinite.

alias KvOctet = vec4<u32>;
alias KvQuad = vec2<u32>;

const F16_MAX: vec4<f32> = vec4(65504.0);

fn kv_low(octet: KvOctet) -> vec4<f32> { return kv_load(octet.xy); }

fn kv_high(octet: KvOctet) -> vec4<f32> { return kv_load(octet.zw); }

fn kv_load(quad: KvQuad) -> vec4<f32> {
  return vec4(unpack2x16float(quad.x), unpack2x16float(quad.y));
}

fn kv_store(x: vec4<f32>) -> KvQuad {
  let held = clamp(x, -F16_MAX, F16_MAX);
  return vec2(pack2x16float(held.xy), pack2x16float(held.zw));
}
