// Where keys and values lie, and what they are: eight f16 a vec4<u32>. The kernel declares `pages` and the overrides.

fn unpacked(bits: vec2<u32>) -> vec4<f32> {
  return vec4(unpack2x16float(bits.x), unpack2x16float(bits.y));
}

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

fn octets_of(a: vec4<u32>, b: vec4<u32>, c: vec4<u32>, d: vec4<u32>) -> Octets {
  return Octets(
    unpacked(a.xy), unpacked(a.zw), unpacked(b.xy), unpacked(b.zw),
    unpacked(c.xy), unpacked(c.zw), unpacked(d.xy), unpacked(d.zw),
  );
}
