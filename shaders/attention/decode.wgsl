// Attention of single rows over one split of their context, to be joined by merge.wgsl (flash-decoding):
//   score = q k / sqrt(D); most = max(score); total = sum(exp(score - most)); sums = sum(exp(score - most) v)
// q [rows, KV_HEADS GROUP, D] f32; k_pages [pages, KV_HEADS, PAGE_TOKENS, D / 8] and v_pages [.., D / 4]: f16 pairs.
// sums [rows, SPLITS, heads, D], totals [rows, SPLITS, heads]: (most, total); f32 throughout.
// A workgroup takes one split (x) for a block of up to 8 query heads of one key head (y) of one row (z): every key and
// value is read once for all of them. Scores: a thread a token. Sums: a thread a quad of elements, 64 / (D / 4) slices.

override KV_HEADS: u32;
override GROUP: u32;       // query heads of a key head
override BLOCK: u32;       // query heads of a workgroup, at most 8
override D: u32;
override PAGE_TOKENS: u32;
override ARENA: u32;
override SPLITS: u32;      // capacity of the outputs

const LOWEST: f32 = -1e30;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read> segments: array<Segment>;
@group(0) @binding(3) var<storage, read> pages: array<u32>;
@group(0) @binding(4) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> k_pages: array<vec4<u32>>;
@group(0) @binding(6) var<storage, read> v_pages: array<vec2<u32>>;
@group(0) @binding(7) var<storage, read_write> sums: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> totals: array<vec2<f32>>;

var<workgroup> shared_q: array<vec4<f32>, 512>;    // [BLOCK, D / 4], later the slices' sums
var<workgroup> scores: array<vec4<f32>, 128>;      // [64 tokens, 8 heads]
var<workgroup> most_of: array<vec4<f32>, 16>;      // [8 parts of the tile, 8 heads]
var<workgroup> weights: array<vec4<f32>, 128>;     // [64 tokens, 8 heads]
var<workgroup> slice_totals: array<vec4<f32>, 32>; // [slices, 8 heads]

fn unpacked(bits: vec2<u32>) -> vec4<f32> {
  return vec4(unpack2x16float(bits.x), unpack2x16float(bits.y));
}

// Products of the key's eight elements with those of block head `head`.
fn product(head: u32, octet: u32, low: vec4<f32>, high: vec4<f32>) -> f32 {
  let at = head * (D / 4u) + octet * 2u;
  return dot(shared_q[at], low) + dot(shared_q[at + 1u], high);
}

// Scores of one key, eight heads in two vectors; heads beyond BLOCK stay 0 and cost nothing.
struct Scores { a: vec4<f32>, b: vec4<f32> }

fn scores_of(key: u32) -> Scores {
  var a = vec4(0.0);
  var b = vec4(0.0);
  for (var octet = 0u; octet < D / 8u; octet += 2u) {
    let bits = k_pages[key + octet];
    let next = k_pages[key + octet + 1u];
    let k0 = unpacked(bits.xy);
    let k1 = unpacked(bits.zw);
    let k2 = unpacked(next.xy);
    let k3 = unpacked(next.zw);
    let o = octet + 1u;
    a.x += product(0u, octet, k0, k1) + product(0u, o, k2, k3);
    if (BLOCK > 1u) { a.y += product(1u, octet, k0, k1) + product(1u, o, k2, k3); }
    if (BLOCK > 2u) { a.z += product(2u, octet, k0, k1) + product(2u, o, k2, k3); }
    if (BLOCK > 3u) { a.w += product(3u, octet, k0, k1) + product(3u, o, k2, k3); }
    if (BLOCK > 4u) { b.x += product(4u, octet, k0, k1) + product(4u, o, k2, k3); }
    if (BLOCK > 5u) { b.y += product(5u, octet, k0, k1) + product(5u, o, k2, k3); }
    if (BLOCK > 6u) { b.z += product(6u, octet, k0, k1) + product(6u, o, k2, k3); }
    if (BLOCK > 7u) { b.w += product(7u, octet, k0, k1) + product(7u, o, k2, k3); }
  }
  let scale = inverseSqrt(f32(D));
  return Scores(a * scale, b * scale);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.z;
  if (step.stopped != 0u || row >= step.rows) { return; }
  let segment = segments[rows[row].segment];
  let context = rows[row].cache_index + 1u;
  let split = split_tokens(context);
  let first = group.x * split;
  if (segment.arena != ARENA || first >= context) { return; }
  let end = min(first + split, context);
  let blocks = (GROUP + BLOCK - 1u) / BLOCK;
  let kv_head = group.y / blocks;
  let first_head = group.y % blocks * BLOCK;
  let heads = KV_HEADS * GROUP;
  let quads = D / 4u;
  for (var i = lane; i < BLOCK * quads; i += 64u) {
    // A last block may be short: its spare heads repeat the last one and are not stored.
    let head = kv_head * GROUP + min(first_head + i / quads, GROUP - 1u);
    shared_q[i] = q[(row * heads + head) * quads + i % quads];
  }
  workgroupBarrier();

  let quad = lane % quads;
  let slice = lane / quads;
  let slices = 64u / quads;
  var most_a = vec4(LOWEST);
  var most_b = vec4(LOWEST);
  var total_a = vec4(0.0);
  var total_b = vec4(0.0);
  var s0 = vec4(0.0); var s1 = vec4(0.0); var s2 = vec4(0.0); var s3 = vec4(0.0);
  var s4 = vec4(0.0); var s5 = vec4(0.0); var s6 = vec4(0.0); var s7 = vec4(0.0);
  for (var tile = first; tile < end; tile += 64u) {
    let token = tile + lane;
    var mine = Scores(vec4(LOWEST), vec4(LOWEST));
    if (token < end) {
      let page = pages[segment.page_table + token / PAGE_TOKENS];
      mine = scores_of(((page * KV_HEADS + kv_head) * PAGE_TOKENS + token % PAGE_TOKENS) * (D / 8u));
    }
    scores[lane * 2u] = mine.a;
    scores[lane * 2u + 1u] = mine.b;
    workgroupBarrier();
    if (lane < 16u) {
      var most = scores[lane];
      for (var i = 1u; i < 8u; i++) { most = max(most, scores[lane + i * 16u]); }
      most_of[lane] = most;
    }
    workgroupBarrier();
    let before_a = most_a;
    let before_b = most_b;
    for (var i = 0u; i < 8u; i++) {
      most_a = max(most_a, most_of[i * 2u]);
      most_b = max(most_b, most_of[i * 2u + 1u]);
    }
    weights[lane * 2u] = exp(mine.a - most_a);
    weights[lane * 2u + 1u] = exp(mine.b - most_b);
    workgroupBarrier();
    let fade_a = exp(before_a - most_a);
    let fade_b = exp(before_b - most_b);
    total_a *= fade_a;
    total_b *= fade_b;
    s0 *= fade_a.x; s1 *= fade_a.y; s2 *= fade_a.z; s3 *= fade_a.w;
    s4 *= fade_b.x; s5 *= fade_b.y; s6 *= fade_b.z; s7 *= fade_b.w;
    // Four tokens at a time, never past a page's border; those past the end weigh 0 and repeat the last value.
    for (var t = slice * 4u; t < min(64u, end - tile); t += slices * 4u) {
      let page = pages[segment.page_table + (tile + t) / PAGE_TOKENS];
      let values = ((page * KV_HEADS + kv_head) * PAGE_TOKENS + (tile + t) % PAGE_TOKENS) * quads + quad;
      let last = end - 1u - (tile + t);
      let v0 = unpacked(v_pages[values]);
      let v1 = unpacked(v_pages[values + min(1u, last) * quads]);
      let v2 = unpacked(v_pages[values + min(2u, last) * quads]);
      let v3 = unpacked(v_pages[values + min(3u, last) * quads]);
      let w0 = weights[t * 2u];
      let w1 = weights[t * 2u + 2u];
      let w2 = weights[t * 2u + 4u];
      let w3 = weights[t * 2u + 6u];
      total_a += w0 + w1 + w2 + w3;
      s0 += w0.x * v0 + w1.x * v1 + w2.x * v2 + w3.x * v3;
      if (BLOCK > 1u) { s1 += w0.y * v0 + w1.y * v1 + w2.y * v2 + w3.y * v3; }
      if (BLOCK > 2u) { s2 += w0.z * v0 + w1.z * v1 + w2.z * v2 + w3.z * v3; }
      if (BLOCK > 3u) { s3 += w0.w * v0 + w1.w * v1 + w2.w * v2 + w3.w * v3; }
      if (BLOCK > 4u) {
        let u0 = weights[t * 2u + 1u];
        let u1 = weights[t * 2u + 3u];
        let u2 = weights[t * 2u + 5u];
        let u3 = weights[t * 2u + 7u];
        total_b += u0 + u1 + u2 + u3;
        s4 += u0.x * v0 + u1.x * v1 + u2.x * v2 + u3.x * v3;
        if (BLOCK > 5u) { s5 += u0.y * v0 + u1.y * v1 + u2.y * v2 + u3.y * v3; }
        if (BLOCK > 6u) { s6 += u0.z * v0 + u1.z * v1 + u2.z * v2 + u3.z * v3; }
        if (BLOCK > 7u) { s7 += u0.w * v0 + u1.w * v1 + u2.w * v2 + u3.w * v3; }
      }
    }
  }

  // Slices of a quad lie 64 apart / slices: the queries are no longer needed, their room takes the sums.
  workgroupBarrier();
  shared_q[lane] = s0;
  if (BLOCK > 1u) { shared_q[64u + lane] = s1; }
  if (BLOCK > 2u) { shared_q[128u + lane] = s2; }
  if (BLOCK > 3u) { shared_q[192u + lane] = s3; }
  if (BLOCK > 4u) { shared_q[256u + lane] = s4; }
  if (BLOCK > 5u) { shared_q[320u + lane] = s5; }
  if (BLOCK > 6u) { shared_q[384u + lane] = s6; }
  if (BLOCK > 7u) { shared_q[448u + lane] = s7; }
  if (quad == 0u) {
    slice_totals[slice * 2u] = total_a;
    slice_totals[slice * 2u + 1u] = total_b;
    scores[0] = most_a;
    scores[1] = most_b;
  }
  workgroupBarrier();
  let to = (row * SPLITS + group.x) * heads + kv_head * GROUP + first_head;
  for (var i = lane; i < BLOCK * quads; i += 64u) {
    let head = i / quads;
    var sum = shared_q[head * 64u + i % quads];
    for (var s = 1u; s < slices; s++) { sum += shared_q[head * 64u + s * quads + i % quads]; }
    if (first_head + head < GROUP) { sums[(to + head) * quads + i % quads] = sum; }
  }
  if (lane < BLOCK && first_head + lane < GROUP) {
    var total = slice_totals[lane / 4u][lane % 4u];
    for (var s = 1u; s < slices; s++) { total += slice_totals[s * 2u + lane / 4u][lane % 4u]; }
    totals[to + lane] = vec2(scores[lane / 4u][lane % 4u], total);
  }
}
