// Where keys and values lie, by octets: eight neighbours of a head as stored (shaders/common/kv_*.wgsl). The kernel
// declares `pages` and the overrides.

// The first octet of a token's key or value.
fn octets_at(segment: Segment, kv_head: u32, token: u32) -> u32 {
  let page = pages[segment.page_table + token / PAGE_TOKENS];
  return ((page * KV_HEADS + kv_head) * PAGE_TOKENS + token % PAGE_TOKENS) * (D / 8u);
}

// Four rows of eight elements.
struct Octets {
  a0: vec4<f32>, a1: vec4<f32>, b0: vec4<f32>, b1: vec4<f32>,
  c0: vec4<f32>, c1: vec4<f32>, d0: vec4<f32>, d1: vec4<f32>,
}

fn octets_of(a: KvOctet, b: KvOctet, c: KvOctet, d: KvOctet) -> Octets {
  return Octets(kv_low(a), kv_high(a), kv_low(b), kv_high(b), kv_low(c), kv_high(c), kv_low(d), kv_high(d));
}
