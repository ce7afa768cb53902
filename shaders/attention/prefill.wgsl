// Attention of many rows at once, by tiles of queries and keys with a running maximum (arXiv:2205.14135):
//   out = softmax(q k / sqrt(D)) v * sigmoid(gate); a row sees the keys up to its own cache index.
// q [rows, HEADS, D] f32; qkv [rows, 2 (HEADS + KV_HEADS) D]: per head query then gate; k_pages, v_pages [pages, KV_HEADS,
// PAGE_TOKENS, D / 8]: eight elements each, the rows' own included. out [rows, HEADS, D]; f32 throughout.
// A workgroup takes 64 queries: rows of one segment (x) with all heads of one key head (y), and walks over
// tiles of 32 or 64 keys. Scores: a thread 4 queries x KEYS_A_THREAD keys. Sums: a thread 4 queries x 16 elements.

override HIGHS: u32;         // threads / 16; at least D / 16
override KEYS_A_THREAD: u32; // 4 or 8

const TILE_QUERIES: u32 = 64u;
const PAD: u32 = 9u; // vec4s a query in the tile: 8 and one that keeps neighbours in different banks

var<workgroup> shared_q: array<vec4<f32>, 576>; // [64 queries, PAD]: 32 elements of each
var<workgroup> weights: array<vec4<f32>, 1024>; // [64 keys, 16]: exp(score - most) of queries g, g + 16, g + 32, g + 48

// Eight elements of four queries.
struct Queries {
  a0: vec4<f32>, a1: vec4<f32>, b0: vec4<f32>, b1: vec4<f32>,
  c0: vec4<f32>, c1: vec4<f32>, d0: vec4<f32>, d1: vec4<f32>,
}

fn queries_at(at: u32) -> Queries {
  return Queries(
    shared_q[at], shared_q[at + 1u],
    shared_q[at + 16u * PAD], shared_q[at + 16u * PAD + 1u],
    shared_q[at + 32u * PAD], shared_q[at + 32u * PAD + 1u],
    shared_q[at + 48u * PAD], shared_q[at + 48u * PAD + 1u],
  );
}

fn products(key: KvOctet, x: Queries) -> vec4<f32> {
  let k0 = kv_low(key);
  let k1 = kv_high(key);
  return vec4(dot(x.a0, k0), dot(x.b0, k0), dot(x.c0, k0), dot(x.d0, k0)) +
    vec4(dot(x.a1, k1), dot(x.b1, k1), dot(x.c1, k1), dot(x.d1, k1));
}

// Scores of a key for the thread's queries, LOWEST for those that do not see it.
fn masked(score: vec4<f32>, token: u32, visible: vec4<u32>) -> vec4<f32> {
  return select(vec4(LOWEST), score, vec4(token) <= visible);
}

@compute @workgroup_size(16u * HIGHS)
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
  let high = lane / 16u;
  let visible = vec4(
    rows[min(tile.first_row + g / share, last_row)].cache_index,
    rows[min(tile.first_row + (g + 16u) / share, last_row)].cache_index,
    rows[min(tile.first_row + (g + 32u) / share, last_row)].cache_index,
    rows[min(tile.first_row + (g + 48u) / share, last_row)].cache_index,
  );
  var most = vec4(LOWEST);
  var total = vec4(0.0);
  var a0 = vec4(0.0); var a1 = vec4(0.0); var a2 = vec4(0.0); var a3 = vec4(0.0);
  var b0 = vec4(0.0); var b1 = vec4(0.0); var b2 = vec4(0.0); var b3 = vec4(0.0);
  var c0 = vec4(0.0); var c1 = vec4(0.0); var c2 = vec4(0.0); var c3 = vec4(0.0);
  var d0 = vec4(0.0); var d1 = vec4(0.0); var d2 = vec4(0.0); var d3 = vec4(0.0);
  for (var base = 0u; base < end; base += KEYS_A_THREAD * HIGHS) {
    // Cache entries from `end` on were never written: the last valid one stands in, and its score is masked.
    let first = base + high;
    let k0 = octets_at(segment, kv_head, min(first, end - 1u));
    let k1 = octets_at(segment, kv_head, min(first + HIGHS, end - 1u));
    let k2 = octets_at(segment, kv_head, min(first + 2u * HIGHS, end - 1u));
    let k3 = octets_at(segment, kv_head, min(first + 3u * HIGHS, end - 1u));
    let k4 = octets_at(segment, kv_head, min(first + 4u * HIGHS, end - 1u));
    let k5 = octets_at(segment, kv_head, min(first + 5u * HIGHS, end - 1u));
    let k6 = octets_at(segment, kv_head, min(first + 6u * HIGHS, end - 1u));
    let k7 = octets_at(segment, kv_head, min(first + 7u * HIGHS, end - 1u));
    var s0 = vec4(0.0); var s1 = vec4(0.0); var s2 = vec4(0.0); var s3 = vec4(0.0);
    var s4 = vec4(0.0); var s5 = vec4(0.0); var s6 = vec4(0.0); var s7 = vec4(0.0);
    for (var start = 0u; start < quads; start += chunk) {
      workgroupBarrier();
      for (var i = lane; i < 64u * chunk; i += 16u * HIGHS) {
        let m = i / chunk;
        let row = min(tile.first_row + m / share, last_row);
        let at = (row * HEADS + kv_head * share + m % share) * quads + start + i % chunk;
        shared_q[m * PAD + i % chunk] = q[at] * inverseSqrt(f32(D));
      }
      workgroupBarrier();
      for (var i = 0u; i < chunk; i += 2u) {
        let x = queries_at(g * PAD + i);
        let o = (start + i) / 2u;
        s0 += products(k_pages[k0 + o], x);
        s1 += products(k_pages[k1 + o], x);
        s2 += products(k_pages[k2 + o], x);
        s3 += products(k_pages[k3 + o], x);
        if (KEYS_A_THREAD > 4u) {
          s4 += products(k_pages[k4 + o], x);
          s5 += products(k_pages[k5 + o], x);
          s6 += products(k_pages[k6 + o], x);
          s7 += products(k_pages[k7 + o], x);
        }
      }
    }
    s0 = masked(s0, first, visible);
    s1 = masked(s1, first + HIGHS, visible);
    s2 = masked(s2, first + 2u * HIGHS, visible);
    s3 = masked(s3, first + 3u * HIGHS, visible);
    var highest = max(max(s0, s1), max(s2, s3));
    if (KEYS_A_THREAD > 4u) {
      s4 = masked(s4, first + 4u * HIGHS, visible);
      s5 = masked(s5, first + 5u * HIGHS, visible);
      s6 = masked(s6, first + 6u * HIGHS, visible);
      s7 = masked(s7, first + 7u * HIGHS, visible);
      highest = max(highest, max(max(s4, s5), max(s6, s7)));
    }
    weights[lane] = highest;
    workgroupBarrier();
    let before = most;
    for (var i = 0u; i < HIGHS; i++) { most = max(most, weights[i * 16u + g]); }
    workgroupBarrier();
    weights[lane] = exp(s0 - most);
    weights[lane + 16u * HIGHS] = exp(s1 - most);
    weights[lane + 32u * HIGHS] = exp(s2 - most);
    weights[lane + 48u * HIGHS] = exp(s3 - most);
    if (KEYS_A_THREAD > 4u) {
      weights[lane + 64u * HIGHS] = exp(s4 - most);
      weights[lane + 80u * HIGHS] = exp(s5 - most);
      weights[lane + 96u * HIGHS] = exp(s6 - most);
      weights[lane + 112u * HIGHS] = exp(s7 - most);
    }
    workgroupBarrier();

    let fade = exp(before - most);
    total *= fade;
    a0 *= fade.x; a1 *= fade.y; a2 *= fade.z; a3 *= fade.w;
    b0 *= fade.x; b1 *= fade.y; b2 *= fade.z; b3 *= fade.w;
    c0 *= fade.x; c1 *= fade.y; c2 *= fade.z; c3 *= fade.w;
    d0 *= fade.x; d1 *= fade.y; d2 *= fade.z; d3 *= fade.w;
    // No stand-in here: 0 * NaN is NaN.
    let keys = min(KEYS_A_THREAD * HIGHS, end - base);
    for (var run = 0u; run < keys; run += min(PAGE_TOKENS, 32u)) {
      var at = octets_at(segment, kv_head, base + run) + high % octets;
      for (var key = run; key < min(keys, run + min(PAGE_TOKENS, 32u)); key++) {
        let w = weights[key * 16u + g];
        total += w;
        var value = v_pages[at];
        var v = kv_low(value);
        a0 += w.x * v; a1 += w.y * v; a2 += w.z * v; a3 += w.w * v;
        v = kv_high(value);
        b0 += w.x * v; b1 += w.y * v; b2 += w.z * v; b3 += w.w * v;
        if (octets > HIGHS) {
          value = v_pages[at + HIGHS];
          v = kv_low(value);
          c0 += w.x * v; c1 += w.y * v; c2 += w.z * v; c3 += w.w * v;
          v = kv_high(value);
          d0 += w.x * v; d1 += w.y * v; d2 += w.z * v; d3 += w.w * v;
        }
        at += octets;
      }
    }
  }

  if (high >= octets) { return; }
  let place = Place(tile, kv_head, 2u * high);
  store(g, place, a0 / total.x, b0 / total.x);
  store(g + 16u, place, a1 / total.y, b1 / total.y);
  store(g + 32u, place, a2 / total.z, b2 / total.z);
  store(g + 48u, place, a3 / total.w, b3 / total.w);
  if (octets > HIGHS) {
    let far = Place(tile, kv_head, 2u * (high + HIGHS));
    store(g, far, c0 / total.x, d0 / total.x);
    store(g + 16u, far, c1 / total.y, d1 / total.y);
    store(g + 32u, far, c2 / total.z, d2 / total.z);
    store(g + 48u, far, c3 / total.w, d3 / total.w);
  }
}
