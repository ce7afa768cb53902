// A head cut among the 8 threads of a workgroup: a thread has octets t, t + 8, t + 16 and t + 24 of the head's D / 8, so that
// neighbours read neighbours. Of heads of fewer than 64 elements the last octet stands in for those that there are not.
// The kernel declares q, k_pages, v_pages and D.

struct Slice {
  a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>, e: vec4<f32>, f: vec4<f32>, g: vec4<f32>, h: vec4<f32>,
}

// The thread's part of four neighbouring tokens.
struct Slices { a: Slice, b: Slice, c: Slice, d: Slice }

fn first_octet(thread: u32) -> u32 {
  return min(thread, D / 8u - 1u);
}

fn key_slice(at: u32) -> Slice {
  var s = Slice();
  let first = k_pages[at];
  s.a = kv_low(first);
  s.b = kv_high(first);
  if (D > 64u) {
    let next = k_pages[at + 8u];
    s.c = kv_low(next);
    s.d = kv_high(next);
  }
  if (D > 128u) {
    let third = k_pages[at + 16u];
    let last = k_pages[at + 24u];
    s.e = kv_low(third);
    s.f = kv_high(third);
    s.g = kv_low(last);
    s.h = kv_high(last);
  }
  return s;
}

fn value_slice(at: u32) -> Slice {
  var s = Slice();
  let first = v_pages[at];
  s.a = kv_low(first);
  s.b = kv_high(first);
  if (D > 64u) {
    let next = v_pages[at + 8u];
    s.c = kv_low(next);
    s.d = kv_high(next);
  }
  if (D > 128u) {
    let third = v_pages[at + 16u];
    let last = v_pages[at + 24u];
    s.e = kv_low(third);
    s.f = kv_high(third);
    s.g = kv_low(last);
    s.h = kv_high(last);
  }
  return s;
}

// `steps`: how far the tokens lie from the first, in octets.
fn key_slices(at: u32, steps: vec4<u32>) -> Slices {
  return Slices(key_slice(at + steps.x), key_slice(at + steps.y), key_slice(at + steps.z), key_slice(at + steps.w));
}

fn value_slices(at: u32, steps: vec4<u32>) -> Slices {
  return Slices(value_slice(at + steps.x), value_slice(at + steps.y), value_slice(at + steps.z), value_slice(at + steps.w));
}

// This thread's part of a query that starts at `at`; a thread that only stands in has none.
fn query_slice(at: u32, thread: u32) -> Slice {
  let scale = select(0.0, inverseSqrt(f32(D)), thread < D / 8u);
  let begin = at + 2u * first_octet(thread);
  var s = Slice();
  s.a = scale * q[begin];
  s.b = scale * q[begin + 1u];
  if (D > 64u) {
    s.c = scale * q[begin + 16u];
    s.d = scale * q[begin + 17u];
  }
  if (D > 128u) {
    s.e = scale * q[begin + 32u];
    s.f = scale * q[begin + 33u];
    s.g = scale * q[begin + 48u];
    s.h = scale * q[begin + 49u];
  }
  return s;
}

fn dot_slice(x: Slice, y: Slice) -> f32 {
  var sum = fma(x.b, y.b, x.a * y.a);
  if (D > 64u) { sum = fma(x.d, y.d, fma(x.c, y.c, sum)); }
  if (D > 128u) { sum = fma(x.h, y.h, fma(x.g, y.g, fma(x.f, y.f, fma(x.e, y.e, sum)))); }
  return (sum.x + sum.y) + (sum.z + sum.w);
}

// This thread's part of the scores of four tokens.
fn part_scores(q: Slice, k: Slices) -> vec4<f32> {
  return vec4<f32>(dot_slice(q, k.a), dot_slice(q, k.b), dot_slice(q, k.c), dot_slice(q, k.d));
}

fn add_quad(sum: vec4<f32>, fade: f32, w: vec4<f32>, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec4<f32> {
  return fma(d, w.wwww, fma(c, w.zzzz, fma(b, w.yyyy, fma(a, w.xxxx, fade * sum))));
}

// fade sum + weights values
fn add_values(sum: Slice, fade: f32, w: vec4<f32>, v: Slices) -> Slice {
  var s = sum;
  s.a = add_quad(sum.a, fade, w, v.a.a, v.b.a, v.c.a, v.d.a);
  s.b = add_quad(sum.b, fade, w, v.a.b, v.b.b, v.c.b, v.d.b);
  if (D > 64u) {
    s.c = add_quad(sum.c, fade, w, v.a.c, v.b.c, v.c.c, v.d.c);
    s.d = add_quad(sum.d, fade, w, v.a.d, v.b.d, v.c.d, v.d.d);
  }
  if (D > 128u) {
    s.e = add_quad(sum.e, fade, w, v.a.e, v.b.e, v.c.e, v.d.e);
    s.f = add_quad(sum.f, fade, w, v.a.f, v.b.f, v.c.f, v.d.f);
    s.g = add_quad(sum.g, fade, w, v.a.g, v.b.g, v.c.g, v.d.g);
    s.h = add_quad(sum.h, fade, w, v.a.h, v.b.h, v.c.h, v.d.h);
  }
  return s;
}

// Of eight queries: what a thread has of each query's scores, or each query's sums.
struct Scores {
  a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>, e: vec4<f32>, f: vec4<f32>, g: vec4<f32>, h: vec4<f32>,
}

struct Queries { a: Slice, b: Slice, c: Slice, d: Slice, e: Slice, f: Slice, g: Slice, h: Slice }

fn slice_of(queries: Queries, number: u32) -> Slice {
  var s = queries.a;
  if (number == 1u) { s = queries.b; }
  if (number == 2u) { s = queries.c; }
  if (number == 3u) { s = queries.d; }
  if (number == 4u) { s = queries.e; }
  if (number == 5u) { s = queries.f; }
  if (number == 6u) { s = queries.g; }
  if (number == 7u) { s = queries.h; }
  return s;
}

fn with_slice(queries: Queries, number: u32, s: Slice) -> Queries {
  var all = queries;
  if (number == 0u) { all.a = s; }
  if (number == 1u) { all.b = s; }
  if (number == 2u) { all.c = s; }
  if (number == 3u) { all.d = s; }
  if (number == 4u) { all.e = s; }
  if (number == 5u) { all.f = s; }
  if (number == 6u) { all.g = s; }
  if (number == 7u) { all.h = s; }
  return all;
}

// One of two queries is this thread's: it gets the other threads' part of that and gives its own of the other.
fn fold(x: vec4<f32>, y: vec4<f32>, is_second: bool, distance: u32) -> vec4<f32> {
  return select(x, y, is_second) + subgroupShuffleXor(select(y, x, is_second), distance);
}

// The scores of four tokens for query number `thread`.
fn own_scores(part: Scores, thread: u32) -> vec4<f32> {
  let far = (thread & 4u) != 0u;
  let a = fold(part.a, part.e, far, 4u);
  let b = fold(part.b, part.f, far, 4u);
  let c = fold(part.c, part.g, far, 4u);
  let d = fold(part.d, part.h, far, 4u);
  let near = (thread & 2u) != 0u;
  return fold(fold(a, c, near, 2u), fold(b, d, near, 2u), (thread & 1u) != 0u, 1u);
}

// The scores of query number `thread`, of which the first COUNT are wanted.
fn scores_of(q: Queries, k: Slices, thread: u32) -> vec4<f32> {
  var part = Scores();
  part.a = part_scores(q.a, k);
  if (COUNT > 1u) { part.b = part_scores(q.b, k); }
  if (COUNT > 2u) { part.c = part_scores(q.c, k); }
  if (COUNT > 3u) { part.d = part_scores(q.d, k); }
  if (COUNT > 4u) { part.e = part_scores(q.e, k); }
  if (COUNT > 5u) { part.f = part_scores(q.f, k); }
  if (COUNT > 6u) { part.g = part_scores(q.g, k); }
  if (COUNT > 7u) { part.h = part_scores(q.h, k); }
  return own_scores(part, thread);
}

// Of each query: fade sum + weights values, given the fade and weights of query number `thread`.
fn add_weighed(sums: Queries, fade: f32, w: vec4<f32>, v: Slices) -> Queries {
  var s = sums;
  s.a = add_values(sums.a, subgroupBroadcast(fade, 0u), subgroupBroadcast(w, 0u), v);
  if (COUNT > 1u) { s.b = add_values(sums.b, subgroupBroadcast(fade, 1u), subgroupBroadcast(w, 1u), v); }
  if (COUNT > 2u) { s.c = add_values(sums.c, subgroupBroadcast(fade, 2u), subgroupBroadcast(w, 2u), v); }
  if (COUNT > 3u) { s.d = add_values(sums.d, subgroupBroadcast(fade, 3u), subgroupBroadcast(w, 3u), v); }
  if (COUNT > 4u) { s.e = add_values(sums.e, subgroupBroadcast(fade, 4u), subgroupBroadcast(w, 4u), v); }
  if (COUNT > 5u) { s.f = add_values(sums.f, subgroupBroadcast(fade, 5u), subgroupBroadcast(w, 5u), v); }
  if (COUNT > 6u) { s.g = add_values(sums.g, subgroupBroadcast(fade, 6u), subgroupBroadcast(w, 6u), v); }
  if (COUNT > 7u) { s.h = add_values(sums.h, subgroupBroadcast(fade, 7u), subgroupBroadcast(w, 7u), v); }
  return s;
}
