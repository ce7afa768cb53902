// Attention of single rows over one split of their context, to be joined by merge.wgsl (flash-decoding):
//   score = q k / sqrt(D); most = max(score); total = sum(exp(score - most)); sums = sum(exp(score - most) v)
// q [rows, KV_HEADS GROUP, D] f32; k_pages, v_pages [pages, KV_HEADS, PAGE_TOKENS, D / 8]: eight elements each, as stored.
// sums [rows, SPLITS, heads, D], totals [rows, SPLITS, heads]: (most, total); f32 throughout.
// A workgroup takes one split (x) for a block of up to 8 query heads of one key head (y) of one row (z), by tiles of 64
// tokens: every key and value is read once for all its heads. Scores: a thread 4 tokens x 8 heads over a quarter of the
// elements. Sums: a thread 8 elements x 8 heads over a slice of the tokens. Registers, not loads, hold what is shared.

override BLOCK: u32;       // query heads of a workgroup, at most 8

var<workgroup> shared_q: array<vec4<f32>, 512>; // [BLOCK, D / 4], at the end the slices' sums [BLOCK, 64]
var<workgroup> partial: array<vec4<f32>, 512>;  // [4 quarters, 8 heads, 16]: scores of 4 tokens
var<workgroup> weights: array<vec4<f32>, 128>;  // [8 heads, 16]: scores of 4 tokens, then exp(score - most)
var<workgroup> highest: array<f32, 128>;        // [8 heads, 16]: highest of 4 scores
var<workgroup> added: array<f32, 128>;          // [8 heads, 16]: sum of 4 weights
var<workgroup> most_of: array<f32, 8>;          // [heads]: highest score before this tile
var<workgroup> next_most: array<f32, 8>;        // [heads]: and with it
var<workgroup> fades: array<f32, 8>;            // [heads]: exp(most_of - next_most)

// Products of four keys with query `head`, in the eight elements of `octet`.
fn products(head: u32, octet: u32, k: Octets) -> vec4<f32> {
  let x = shared_q[head * (D / 4u) + octet * 2u];
  let y = shared_q[head * (D / 4u) + octet * 2u + 1u];
  return vec4(dot(x, k.a0), dot(x, k.b0), dot(x, k.c0), dot(x, k.d0)) +
    vec4(dot(y, k.a1), dot(y, k.b1), dot(y, k.c1), dot(y, k.d1));
}

// The scores of the tile's tokens 4 (lane / 4) and on over quarter lane % 4 of the elements. Tokens from `end` on were
// never written: the last valid one is read in their place.
fn score(segment: Segment, kv_head: u32, tile: u32, end: u32, lane: u32) {
  var s0 = vec4(0.0); var s1 = vec4(0.0); var s2 = vec4(0.0); var s3 = vec4(0.0);
  var s4 = vec4(0.0); var s5 = vec4(0.0); var s6 = vec4(0.0); var s7 = vec4(0.0);
  let token = tile + lane / 4u * 4u;
  if (token < end) {
    let last = end - 1u - token;
    let key = octets_at(segment, kv_head, token);
    for (var o = lane % 4u; o < D / 8u; o += 4u) {
      let at = key + o;
      let k = octets_of(
        k_pages[at],
        k_pages[at + min(1u, last) * (D / 8u)],
        k_pages[at + min(2u, last) * (D / 8u)],
        k_pages[at + min(3u, last) * (D / 8u)],
      );
      s0 += products(0u, o, k);
      if (BLOCK > 1u) { s1 += products(1u, o, k); }
      if (BLOCK > 2u) { s2 += products(2u, o, k); }
      if (BLOCK > 3u) { s3 += products(3u, o, k); }
      if (BLOCK > 4u) { s4 += products(4u, o, k); }
      if (BLOCK > 5u) { s5 += products(5u, o, k); }
      if (BLOCK > 6u) { s6 += products(6u, o, k); }
      if (BLOCK > 7u) { s7 += products(7u, o, k); }
    }
  }
  let to = lane % 4u * 128u + lane / 4u;
  partial[to] = s0;
  if (BLOCK > 1u) { partial[to + 16u] = s1; }
  if (BLOCK > 2u) { partial[to + 32u] = s2; }
  if (BLOCK > 3u) { partial[to + 48u] = s3; }
  if (BLOCK > 4u) { partial[to + 64u] = s4; }
  if (BLOCK > 5u) { partial[to + 80u] = s5; }
  if (BLOCK > 6u) { partial[to + 96u] = s6; }
  if (BLOCK > 7u) { partial[to + 112u] = s7; }
}

fn weighed(w: vec4<f32>, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec4<f32> {
  return w.x * a + w.y * b + w.z * c + w.w * d;
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
  let octets = D / 8u;
  for (var i = lane; i < BLOCK * quads; i += 64u) {
    // A last block may be short: its spare heads repeat the last one and are not stored.
    let head = kv_head * GROUP + min(first_head + i / quads, GROUP - 1u);
    shared_q[i] = q[(row * heads + head) * quads + i % quads] * inverseSqrt(f32(D));
  }
  if (lane < 8u) { most_of[lane] = LOWEST; }
  workgroupBarrier();

  let octet = lane % octets;
  let slice = lane / octets;
  let slices = 64u / octets;
  var total = 0.0; // of head `lane`
  var x0 = vec4(0.0); var x1 = vec4(0.0); var x2 = vec4(0.0); var x3 = vec4(0.0);
  var x4 = vec4(0.0); var x5 = vec4(0.0); var x6 = vec4(0.0); var x7 = vec4(0.0);
  var y0 = vec4(0.0); var y1 = vec4(0.0); var y2 = vec4(0.0); var y3 = vec4(0.0);
  var y4 = vec4(0.0); var y5 = vec4(0.0); var y6 = vec4(0.0); var y7 = vec4(0.0);
  for (var tile = first; tile < end; tile += 64u) {
    score(segment, kv_head, tile, end, lane);
    workgroupBarrier();
    for (var i = lane; i < BLOCK * 16u; i += 64u) {
      let sum = partial[i] + partial[i + 128u] + partial[i + 256u] + partial[i + 384u];
      let token = tile + i % 16u * 4u;
      let known = select(vec4(LOWEST), sum, token + vec4(0u, 1u, 2u, 3u) < vec4(end));
      weights[i] = known;
      highest[i] = max(max(known.x, known.y), max(known.z, known.w));
    }
    workgroupBarrier();
    for (var i = lane; i < BLOCK * 16u; i += 64u) {
      let head = i / 16u;
      let before = most_of[head];
      var most = before;
      for (var g = 0u; g < 16u; g++) { most = max(most, highest[head * 16u + g]); }
      let weight = exp(weights[i] - most);
      weights[i] = weight;
      added[i] = dot(weight, vec4(1.0));
      if (i % 16u == 0u) {
        next_most[head] = most;
        fades[head] = exp(before - most);
      }
    }
    workgroupBarrier();
    if (lane < BLOCK) {
      total *= fades[lane];
      for (var g = 0u; g < 16u; g++) { total += added[lane * 16u + g]; }
      most_of[lane] = next_most[lane];
    }
    x0 *= fades[0]; x1 *= fades[1]; x2 *= fades[2]; x3 *= fades[3];
    x4 *= fades[4]; x5 *= fades[5]; x6 *= fades[6]; x7 *= fades[7];
    y0 *= fades[0]; y1 *= fades[1]; y2 *= fades[2]; y3 *= fades[3];
    y4 *= fades[4]; y5 *= fades[5]; y6 *= fades[6]; y7 *= fades[7];
    for (var t = slice * 4u; t < min(64u, end - tile); t += slices * 4u) {
      let last = end - 1u - (tile + t);
      let at = octets_at(segment, kv_head, tile + t) + octet;
      let v = octets_of(
        v_pages[at],
        v_pages[at + min(1u, last) * octets],
        v_pages[at + min(2u, last) * octets],
        v_pages[at + min(3u, last) * octets],
      );
      let g = t / 4u;
      var w = weights[g];
      x0 += weighed(w, v.a0, v.b0, v.c0, v.d0); y0 += weighed(w, v.a1, v.b1, v.c1, v.d1);
      if (BLOCK > 1u) { w = weights[g + 16u]; x1 += weighed(w, v.a0, v.b0, v.c0, v.d0); y1 += weighed(w, v.a1, v.b1, v.c1, v.d1); }
      if (BLOCK > 2u) { w = weights[g + 32u]; x2 += weighed(w, v.a0, v.b0, v.c0, v.d0); y2 += weighed(w, v.a1, v.b1, v.c1, v.d1); }
      if (BLOCK > 3u) { w = weights[g + 48u]; x3 += weighed(w, v.a0, v.b0, v.c0, v.d0); y3 += weighed(w, v.a1, v.b1, v.c1, v.d1); }
      if (BLOCK > 4u) { w = weights[g + 64u]; x4 += weighed(w, v.a0, v.b0, v.c0, v.d0); y4 += weighed(w, v.a1, v.b1, v.c1, v.d1); }
      if (BLOCK > 5u) { w = weights[g + 80u]; x5 += weighed(w, v.a0, v.b0, v.c0, v.d0); y5 += weighed(w, v.a1, v.b1, v.c1, v.d1); }
      if (BLOCK > 6u) { w = weights[g + 96u]; x6 += weighed(w, v.a0, v.b0, v.c0, v.d0); y6 += weighed(w, v.a1, v.b1, v.c1, v.d1); }
      if (BLOCK > 7u) { w = weights[g + 112u]; x7 += weighed(w, v.a0, v.b0, v.c0, v.d0); y7 += weighed(w, v.a1, v.b1, v.c1, v.d1); }
    }
  }

  let to = (row * SPLITS + group.x) * heads + kv_head * GROUP + first_head;
  if (lane < BLOCK && first_head + lane < GROUP) { totals[to + lane] = vec2(most_of[lane], total); }
  for (var half = 0u; half < 2u; half++) {
    // The queries are no longer needed: their room takes the slices' sums, one half of the octets after the other.
    workgroupBarrier();
    shared_q[lane] = select(y0, x0, half == 0u);
    if (BLOCK > 1u) { shared_q[64u + lane] = select(y1, x1, half == 0u); }
    if (BLOCK > 2u) { shared_q[128u + lane] = select(y2, x2, half == 0u); }
    if (BLOCK > 3u) { shared_q[192u + lane] = select(y3, x3, half == 0u); }
    if (BLOCK > 4u) { shared_q[256u + lane] = select(y4, x4, half == 0u); }
    if (BLOCK > 5u) { shared_q[320u + lane] = select(y5, x5, half == 0u); }
    if (BLOCK > 6u) { shared_q[384u + lane] = select(y6, x6, half == 0u); }
    if (BLOCK > 7u) { shared_q[448u + lane] = select(y7, x7, half == 0u); }
    workgroupBarrier();
    for (var i = lane; i < BLOCK * octets; i += 64u) {
      let head = i / octets;
      var sum = shared_q[head * 64u + i % octets];
      for (var s = 1u; s < slices; s++) { sum += shared_q[head * 64u + s * octets + i % octets]; }
      if (first_head + head < GROUP) { sums[(to + head) * quads + i % octets * 2u + half] = sum; }
    }
  }
}
