// Attention of many rows at once, by tiles of queries and keys with a running maximum (arXiv:2205.14135):
//   out = softmax(q k / sqrt(D)) v * sigmoid(gate); a row sees the keys up to its own cache index.
// q [rows, HEADS, D] f32; qkv [rows, 2 (HEADS + KV_HEADS) D]: per head query then gate; k_pages [pages, KV_HEADS,
// PAGE_TOKENS, D / 8] and v_pages [.., D / 4]: f16 pairs, chunk included. out [rows, HEADS, D]; f32 throughout.
// A workgroup takes 64 queries: 64 / GROUP rows of one segment (x) with all heads of one key head (y), and walks over
// tiles of 32 keys. Scores: a thread 4 queries x 2 keys. Sums: a thread 4 queries x D / 16 elements (at least 4).

override HEADS: u32;
override KV_HEADS: u32;
override D: u32;
override PAGE_TOKENS: u32;
override ARENA: u32;

const LOWEST: f32 = -1e30;
const PAD: u32 = 9u; // vec4s a query in the tile: 8 and one that keeps neighbours in different banks

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read> segments: array<Segment>;
@group(0) @binding(3) var<storage, read> pages: array<u32>;
@group(0) @binding(4) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> k_pages: array<vec4<u32>>;
@group(0) @binding(7) var<storage, read> v_pages: array<vec2<u32>>;
@group(0) @binding(8) var<storage, read_write> out: array<vec4<f32>>;

var<workgroup> shared_q: array<vec4<f32>, 576>;  // [64 queries, PAD]: 32 elements of each
var<workgroup> weights: array<vec4<f32>, 512>;   // [32 keys, 16]: exp(score - most) of queries g, g + 16, g + 32, g + 48

struct Tile {
  segment: u32,
  first_row: u32, // of the tile
  end_row: u32,   // of the segment, past its last
}

// The x-th tile of the step: segments are cut into tiles one after another. Past the last tile, end_row is 0.
fn find_tile(x: u32, rows_a_tile: u32) -> Tile {
  var before = 0u;
  for (var i = 0u; i < step.segments; i++) {
    let count = segments[i].row_count;
    let tiles = (count + rows_a_tile - 1u) / rows_a_tile;
    if (x < before + tiles) {
      let first = segments[i].first_row;
      return Tile(i, first + (x - before) * rows_a_tile, first + count);
    }
    before += tiles;
  }
  return Tile(0u, 0u, 0u);
}

fn unpacked(bits: vec2<u32>) -> vec4<f32> {
  return vec4(unpack2x16float(bits.x), unpack2x16float(bits.y));
}

fn store(query: u32, quad: u32, tile: Tile, kv_head: u32, sum: vec4<f32>) {
  let share = HEADS / KV_HEADS;
  let row = tile.first_row + query / share;
  if (query >= 64u / share * share || row >= tile.end_row) { return; }
  let head = kv_head * share + query % share;
  let quads = D / 4u;
  let gate = qkv[row * 2u * (HEADS + KV_HEADS) * quads + head * 2u * quads + quads + quad];
  out[(row * HEADS + head) * quads + quad] = sum / (1.0 + exp(-gate));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  if (step.stopped != 0u) { return; }
  let share = HEADS / KV_HEADS;
  let tile = find_tile(group.x, 64u / share);
  if (tile.end_row == 0u) { return; }
  let segment = segments[tile.segment];
  if (segment.arena != ARENA) { return; }
  let kv_head = group.y;
  let last_row = min(tile.first_row + 64u / share, tile.end_row) - 1u;
  let end = rows[last_row].cache_index + 1u;
  let quads = D / 4u;
  let octets = D / 8u;
  let chunk = min(D, 32u) / 4u;

  // A thread's queries are g, g + 16, g + 32, g + 48 throughout: its maximum and total never leave its registers.
  let g = lane % 16u;
  let lane_high = lane / 16u;
  let visible = vec4(
    rows[min(tile.first_row + g / share, last_row)].cache_index,
    rows[min(tile.first_row + (g + 16u) / share, last_row)].cache_index,
    rows[min(tile.first_row + (g + 32u) / share, last_row)].cache_index,
    rows[min(tile.first_row + (g + 48u) / share, last_row)].cache_index,
  );
  let scale = inverseSqrt(f32(D));
  var most = vec4(LOWEST);
  var total = vec4(0.0);
  var a0 = vec4(0.0); var a1 = vec4(0.0); var a2 = vec4(0.0); var a3 = vec4(0.0);
  var b0 = vec4(0.0); var b1 = vec4(0.0); var b2 = vec4(0.0); var b3 = vec4(0.0);
  var c0 = vec4(0.0); var c1 = vec4(0.0); var c2 = vec4(0.0); var c3 = vec4(0.0);
  var d0 = vec4(0.0); var d1 = vec4(0.0); var d2 = vec4(0.0); var d3 = vec4(0.0);
  for (var base = 0u; base < end; base += 32u) {
    let near = min(base + lane_high, end - 1u);
    let far = min(base + lane_high + 16u, end - 1u);
    let near_page = pages[segment.page_table + near / PAGE_TOKENS];
    let far_page = pages[segment.page_table + far / PAGE_TOKENS];
    let near_key = ((near_page * KV_HEADS + kv_head) * PAGE_TOKENS + near % PAGE_TOKENS) * octets;
    let far_key = ((far_page * KV_HEADS + kv_head) * PAGE_TOKENS + far % PAGE_TOKENS) * octets;
    var near_score = vec4(0.0);
    var far_score = vec4(0.0);
    for (var start = 0u; start < quads; start += chunk) {
      workgroupBarrier();
      for (var i = lane; i < 64u * chunk; i += 256u) {
        let m = i / chunk;
        let row = min(tile.first_row + m / share, last_row);
        shared_q[m * PAD + i % chunk] = q[(row * HEADS + kv_head * share + m % share) * quads + start + i % chunk];
      }
      workgroupBarrier();
      for (var i = 0u; i < chunk; i += 2u) {
        let near_bits = k_pages[near_key + (start + i) / 2u];
        let far_bits = k_pages[far_key + (start + i) / 2u];
        var k0 = unpacked(near_bits.xy);
        var k1 = unpacked(far_bits.xy);
        var q0 = shared_q[g * PAD + i];
        var q1 = shared_q[(g + 16u) * PAD + i];
        var q2 = shared_q[(g + 32u) * PAD + i];
        var q3 = shared_q[(g + 48u) * PAD + i];
        near_score += vec4(dot(q0, k0), dot(q1, k0), dot(q2, k0), dot(q3, k0));
        far_score += vec4(dot(q0, k1), dot(q1, k1), dot(q2, k1), dot(q3, k1));
        k0 = unpacked(near_bits.zw);
        k1 = unpacked(far_bits.zw);
        q0 = shared_q[g * PAD + i + 1u];
        q1 = shared_q[(g + 16u) * PAD + i + 1u];
        q2 = shared_q[(g + 32u) * PAD + i + 1u];
        q3 = shared_q[(g + 48u) * PAD + i + 1u];
        near_score += vec4(dot(q0, k0), dot(q1, k0), dot(q2, k0), dot(q3, k0));
        far_score += vec4(dot(q0, k1), dot(q1, k1), dot(q2, k1), dot(q3, k1));
      }
    }

    near_score = select(vec4(LOWEST), near_score * scale, vec4(base + lane_high) <= visible);
    far_score = select(vec4(LOWEST), far_score * scale, vec4(base + lane_high + 16u) <= visible);
    weights[lane] = max(near_score, far_score);
    workgroupBarrier();
    let before = most;
    for (var i = 0u; i < 16u; i++) { most = max(most, weights[i * 16u + g]); }
    workgroupBarrier();
    weights[lane] = exp(near_score - most);
    weights[lane + 256u] = exp(far_score - most);
    workgroupBarrier();

    let fade = exp(before - most);
    total *= fade;
    a0 *= fade.x; a1 *= fade.y; a2 *= fade.z; a3 *= fade.w;
    b0 *= fade.x; b1 *= fade.y; b2 *= fade.z; b3 *= fade.w;
    c0 *= fade.x; c1 *= fade.y; c2 *= fade.z; c3 *= fade.w;
    d0 *= fade.x; d1 *= fade.y; d2 *= fade.z; d3 *= fade.w;
    // Cache entries from `end` on were never written: they must not be read, 0 * NaN is NaN.
    for (var key = 0u; key < min(32u, end - base); key++) {
      let token = base + key;
      let page = pages[segment.page_table + token / PAGE_TOKENS];
      let value = ((page * KV_HEADS + kv_head) * PAGE_TOKENS + token % PAGE_TOKENS) * quads + lane_high % quads;
      let w = weights[key * 16u + g];
      total += w;
      var v = unpacked(v_pages[value]);
      a0 += w.x * v; a1 += w.y * v; a2 += w.z * v; a3 += w.w * v;
      if (D > 64u) {
        v = unpacked(v_pages[value + 16u]);
        b0 += w.x * v; b1 += w.y * v; b2 += w.z * v; b3 += w.w * v;
      }
      if (D > 128u) {
        v = unpacked(v_pages[value + 32u]);
        c0 += w.x * v; c1 += w.y * v; c2 += w.z * v; c3 += w.w * v;
        v = unpacked(v_pages[value + 48u]);
        d0 += w.x * v; d1 += w.y * v; d2 += w.z * v; d3 += w.w * v;
      }
    }
  }

  if (lane_high >= quads) { return; }
  store(g, lane_high, tile, kv_head, a0 / total.x);
  store(g + 16u, lane_high, tile, kv_head, a1 / total.y);
  store(g + 32u, lane_high, tile, kv_head, a2 / total.z);
  store(g + 48u, lane_high, tile, kv_head, a3 / total.w);
  if (D > 64u) {
    store(g, lane_high + 16u, tile, kv_head, b0 / total.x);
    store(g + 16u, lane_high + 16u, tile, kv_head, b1 / total.y);
    store(g + 32u, lane_high + 16u, tile, kv_head, b2 / total.z);
    store(g + 48u, lane_high + 16u, tile, kv_head, b3 / total.w);
  }
  if (D > 128u) {
    store(g, lane_high + 32u, tile, kv_head, c0 / total.x);
    store(g + 16u, lane_high + 32u, tile, kv_head, c1 / total.y);
    store(g + 32u, lane_high + 32u, tile, kv_head, c2 / total.z);
    store(g + 48u, lane_high + 32u, tile, kv_head, c3 / total.w);
    store(g, lane_high + 48u, tile, kv_head, d0 / total.x);
    store(g + 16u, lane_high + 48u, tile, kv_head, d1 / total.y);
    store(g + 32u, lane_high + 48u, tile, kv_head, d2 / total.z);
    store(g + 48u, lane_high + 48u, tile, kv_head, d3 / total.w);
  }
}
