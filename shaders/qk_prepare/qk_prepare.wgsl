// Query and key of a row before attention, and its place in the cache:
//   q, k = rotate(x / sqrt(mean(x^2) + EPSILON) * (1 + weight)) per head; v as it is.
// Rotation: pairs (j, j + ROTARY / 2) of the first ROTARY elements   (arXiv:2104.09864)
// qkv [rows, 2 HEADS D + 2 KV_HEADS D]: per head query then gate; then keys; then values. rope [rows, ROTARY / 2] (cos, sin).
// q [rows, HEADS, D] f32; k_pages, v_pages [pages, KV_HEADS, PAGE_TOKENS, D / 4]: as stored.
// One workgroup prepares one head of one row; heads from HEADS on are keys with their values.

override HEADS: u32;
override KV_HEADS: u32;
override D: u32;
override ROTARY: u32;
override EPSILON: f32;
override PAGE_TOKENS: u32;
override ARENA: u32;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read> segments: array<Segment>;
@group(0) @binding(3) var<storage, read> pages: array<u32>;
@group(0) @binding(4) var<storage, read> rope: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read> qkv: array<f32>;
@group(0) @binding(6) var<storage, read> q_norm: array<f32>;
@group(0) @binding(7) var<storage, read> k_norm: array<f32>;
@group(0) @binding(8) var<storage, read_write> q: array<f32>;
@group(0) @binding(9) var<storage, read_write> k_pages: array<KvQuad>;
@group(0) @binding(10) var<storage, read_write> v_pages: array<KvQuad>;

var<workgroup> x: array<f32, 256>;
var<workgroup> partial: array<f32, 64>;

fn rotated(row: u32, d: u32) -> f32 {
  let half = ROTARY / 2u;
  if (d >= ROTARY) { return x[d]; }
  let j = select(d - half, d, d < half);
  let turn = rope[row * half + j];
  return select(x[d] * turn.x + x[j] * turn.y, x[d] * turn.x - x[d + half] * turn.y, d < half);
}

fn rotated_quad(row: u32, d: u32) -> vec4<f32> {
  return vec4(rotated(row, d), rotated(row, d + 1u), rotated(row, d + 2u), rotated(row, d + 3u));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  let head = group.y;
  if (step.stopped != 0u || row >= step.rows) { return; }
  let segment = segments[rows[row].segment];
  if (segment.arena != ARENA) { return; }
  let is_key = head >= HEADS;
  let kv_head = head - HEADS;
  let base = row * 2u * (HEADS + KV_HEADS) * D;
  let start = base + select(head * 2u * D, (2u * HEADS + kv_head) * D, is_key);
  var sum = 0.0;
  for (var d = lane; d < D; d += 64u) {
    let value = qkv[start + d];
    x[d] = value;
    sum += value * value;
  }
  partial[lane] = sum;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (lane < half) { partial[lane] += partial[lane + half]; }
    workgroupBarrier();
  }
  let scale = inverseSqrt(partial[0] / f32(D) + EPSILON);
  for (var d = lane; d < D; d += 64u) {
    if (is_key) { x[d] *= scale * (1.0 + k_norm[d]); } else { x[d] *= scale * (1.0 + q_norm[d]); }
  }
  workgroupBarrier();
  if (!is_key) {
    for (var d = lane; d < D; d += 64u) { q[(row * HEADS + head) * D + d] = rotated(row, d); }
    return;
  }
  let token = rows[row].cache_index;
  let page = pages[segment.page_table + token / PAGE_TOKENS];
  let to = ((page * KV_HEADS + kv_head) * PAGE_TOKENS + token % PAGE_TOKENS) * (D / 4u);
  let value = base + (2u * HEADS + KV_HEADS + kv_head) * D;
  for (var i = lane; i < D / 4u; i += 64u) {
    let d = 4u * i;
    k_pages[to + i] = kv_store(rotated_quad(row, d));
    v_pages[to + i] = kv_store(vec4(qkv[value + d], qkv[value + d + 1u], qkv[value + d + 2u], qkv[value + d + 3u]));
  }
}
