// Keys and values as f32. A key is read by octets, a value by quads; both are stored by quads, in the same order.

struct KvOctet {
  low: vec4<f32>,
  high: vec4<f32>,
}
alias KvQuad = vec4<f32>;

fn kv_low(octet: KvOctet) -> vec4<f32> { return octet.low; }

fn kv_high(octet: KvOctet) -> vec4<f32> { return octet.high; }

fn kv_load(quad: KvQuad) -> vec4<f32> { return quad; }

fn kv_store(x: vec4<f32>) -> KvQuad { return x; }
