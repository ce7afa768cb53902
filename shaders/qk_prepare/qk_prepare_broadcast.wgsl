// qk_prepare.wgsl for subgroups of 8 threads on a CPU: one workgroup of 8 threads prepares one head of one row. A thread has
// every eighth quad, and reads again what it rotates with rather than wait for the thread that has it.

override HEADS: u32;
override KV_HEADS: u32;
override D: u32;
override ROTARY: u32; // a multiple of 8
override EPSILON: f32;
override PAGE_TOKENS: u32;
override ARENA: u32;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read> segments: array<Segment>;
@group(0) @binding(3) var<storage, read> pages: array<u32>;
@group(0) @binding(4) var<storage, read> rope: array<vec4<f32>>; // two neighbours: cos, sin, cos, sin
@group(0) @binding(5) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> q_norm: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> k_norm: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> q: array<vec4<f32>>;
@group(0) @binding(9) var<storage, read_write> k_pages: array<KvQuad>;
@group(0) @binding(10) var<storage, read_write> v_pages: array<KvQuad>;

// A head of a row, by quads.
struct Head {
  row: u32,
  start: u32,
  is_key: bool,
  scale: f32, // 1 / rms
}

fn normed(head: Head, i: u32) -> vec4<f32> {
  let weight = 1.0 + select(q_norm[i], k_norm[i], head.is_key);
  return qkv[head.start + i] * head.scale * weight;
}

fn rotated(head: Head, i: u32) -> vec4<f32> {
  let own = normed(head, i);
  let half = ROTARY / 8u;
  if (i >= 2u * half) { return own; }
  let is_first = i < half;
  let j = select(i - half, i, is_first);
  let other = normed(head, select(j, j + half, is_first));
  let low = rope[(head.row * half + j) * 2u];
  let high = rope[(head.row * half + j) * 2u + 1u];
  let cosines = vec4<f32>(low.xz, high.xz);
  let sines = vec4<f32>(low.yw, high.yw);
  return own * cosines + other * select(sines, -sines, is_first);
}

fn scale_of(start: u32, thread: u32) -> f32 {
  var sum = 0.0;
  for (var i = thread; i < D / 4u; i += 8u) {
    let value = qkv[start + i];
    sum += dot(value, value);
  }
  sum += subgroupShuffleXor(sum, 4u);
  sum += subgroupShuffleXor(sum, 2u);
  sum += subgroupShuffleXor(sum, 1u);
  return inverseSqrt(sum / f32(D) + EPSILON);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x;
  if (step.stopped != 0u || row >= step.rows) { return; }
  let segment = segments[rows[row].segment];
  if (segment.arena != ARENA) { return; }
  let quads = D / 4u;
  let is_key = group.y >= HEADS;
  let kv_head = group.y - HEADS;
  let base = row * 2u * (HEADS + KV_HEADS) * quads;
  let start = base + select(group.y * 2u * quads, (2u * HEADS + kv_head) * quads, is_key);
  let head = Head(row, start, is_key, scale_of(start, thread));
  if (!is_key) {
    let to = (row * HEADS + group.y) * quads;
    for (var i = thread; i < quads; i += 8u) { q[to + i] = rotated(head, i); }
    return;
  }
  let token = rows[row].cache_index;
  let page = pages[segment.page_table + token / PAGE_TOKENS];
  let to = ((page * KV_HEADS + kv_head) * PAGE_TOKENS + token % PAGE_TOKENS) * quads;
  let value = start + KV_HEADS * quads;
  for (var i = thread; i < quads; i += 8u) {
    k_pages[to + i] = kv_store(rotated(head, i));
    v_pages[to + i] = kv_store(qkv[value + i]);
  }
}
