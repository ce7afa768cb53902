// delta_step.wgsl for segments of one row and subgroups of 8 threads on a CPU, where threads that wait for each other cost
// more than a second reading of what is near: one workgroup of 8 threads a value head and segment, that runs through the
// state twice. A thread has quads t, t + 8, t + 16 and t + 24 of each key's values. Every sum is taken in the order of
// delta_step.wgsl, so that a row has the same bits in both.

// This thread's values of a key, or its sums.
struct Values { a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32> }

fn load_values(at: u32, known: bool) -> Values {
  var s = Values();
  s.a = select(vec4<f32>(), state[at], known);
  if (VALUE_DIM > 32u) { s.b = select(vec4<f32>(), state[at + 8u], known); }
  if (VALUE_DIM > 64u) {
    s.c = select(vec4<f32>(), state[at + 16u], known);
    s.d = select(vec4<f32>(), state[at + 24u], known);
  }
  return s;
}

fn store_values(at: u32, s: Values) {
  state[at] = s.a;
  if (VALUE_DIM > 32u) { state[at + 8u] = s.b; }
  if (VALUE_DIM > 64u) {
    state[at + 16u] = s.c;
    state[at + 24u] = s.d;
  }
}

// sum + w s
fn add_key(sum: Values, w: f32, s: Values) -> Values {
  return Values(
    fma(s.a, vec4<f32>(w), sum.a), fma(s.b, vec4<f32>(w), sum.b),
    fma(s.c, vec4<f32>(w), sum.c), fma(s.d, vec4<f32>(w), sum.d));
}

// decay s + k d
fn update_key(s: Values, decay: f32, k: f32, d: Values) -> Values {
  return add_key(Values(decay * s.a, decay * s.b, decay * s.c, decay * s.d), k, d);
}

fn add_values(x: Values, y: Values) -> Values {
  return Values(x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d);
}

// S^T k and S^T q.
struct Reads { key: Values, query: Values }

fn reads_of(start: u32, known: bool) -> Reads {
  let quads = VALUE_DIM / 4u;
  var total = Reads();
  for (var group = 0u; group < KEY_DIM / 4u; group += 4u) {
    var sum = Reads();
    for (var n = group; n < group + 4u; n++) {
      let q = inputs[n];
      let k = inputs[n + KEY_DIM / 4u];
      let at = start + 4u * n * quads;
      let s0 = load_values(at, known);
      let s1 = load_values(at + quads, known);
      let s2 = load_values(at + 2u * quads, known);
      let s3 = load_values(at + 3u * quads, known);
      sum = Reads(
        add_key(add_key(add_key(add_key(sum.key, k.x, s0), k.y, s1), k.z, s2), k.w, s3),
        add_key(add_key(add_key(add_key(sum.query, q.x, s0), q.y, s1), q.z, s2), q.w, s3));
    }
    total = Reads(add_values(total.key, sum.key), add_values(total.query, sum.query));
  }
  return total;
}

// S = decay S + k d^T
fn update(start: u32, end: u32, known: bool, decay: f32, d: Values) {
  let quads = VALUE_DIM / 4u;
  for (var n = 0u; n < KEY_DIM / 4u; n++) {
    let k = inputs[n + KEY_DIM / 4u];
    let at = 4u * n * quads;
    let s0 = update_key(load_values(start + at, known), decay, k.x, d);
    let s1 = update_key(load_values(start + at + quads, known), decay, k.y, d);
    let s2 = update_key(load_values(start + at + 2u * quads, known), decay, k.z, d);
    let s3 = update_key(load_values(start + at + 3u * quads, known), decay, k.w, d);
    store_values(end + at, s0);
    store_values(end + at + quads, s1);
    store_values(end + at + 2u * quads, s2);
    store_values(end + at + 3u * quads, s3);
  }
}

fn dot16(a0: vec4<f32>, a1: vec4<f32>, a2: vec4<f32>, a3: vec4<f32>,
         b0: vec4<f32>, b1: vec4<f32>, b2: vec4<f32>, b3: vec4<f32>) -> f32 {
  let sums = fma(a3, b3, fma(a2, b2, fma(a1, b1, a0 * b0)));
  return (sums.x + sums.y) + (sums.z + sums.w);
}

// The sum of eight threads' numbers, one after another.
fn threads_total(part: vec3<f32>) -> vec3<f32> {
  var sum = subgroupBroadcast(part, 0u);
  sum += subgroupBroadcast(part, 1u);
  sum += subgroupBroadcast(part, 2u);
  sum += subgroupBroadcast(part, 3u);
  sum += subgroupBroadcast(part, 4u);
  sum += subgroupBroadcast(part, 5u);
  sum += subgroupBroadcast(part, 6u);
  return sum + subgroupBroadcast(part, 7u);
}

// k.k, q.q, q.k of the head.
fn products_of(thread: u32) -> vec3<f32> {
  // A thread has sixteen keys; one past the last has nothing to add.
  let q = min(thread, KEY_DIM / 16u - 1u) * 4u;
  let k = q + KEY_DIM / 4u;
  let q0 = inputs[q];
  let q1 = inputs[q + 1u];
  let q2 = inputs[q + 2u];
  let q3 = inputs[q + 3u];
  let k0 = inputs[k];
  let k1 = inputs[k + 1u];
  let k2 = inputs[k + 2u];
  let k3 = inputs[k + 3u];
  let part = vec3<f32>(
    dot16(k0, k1, k2, k3, k0, k1, k2, k3),
    dot16(q0, q1, q2, q3, q0, q1, q2, q3),
    dot16(q0, q1, q2, q3, k0, k1, k2, k3));
  return threads_total(select(vec3<f32>(), part, thread < KEY_DIM / 16u));
}

fn gates_of(row: u32, head: u32, thread: u32) -> vec3<f32> {
  var sum = vec3<f32>();
  for (var i = thread; i < GATE_PARTS; i += 8u) { sum += gate_part(row, head, i); }
  return threads_total(sum);
}

fn threads_sum(start: f32, part: f32) -> f32 {
  var sum = start + subgroupBroadcast(part, 0u);
  sum += subgroupBroadcast(part, 1u);
  sum += subgroupBroadcast(part, 2u);
  sum += subgroupBroadcast(part, 3u);
  sum += subgroupBroadcast(part, 4u);
  sum += subgroupBroadcast(part, 5u);
  sum += subgroupBroadcast(part, 6u);
  return sum + subgroupBroadcast(part, 7u);
}

// 1 / rms(o)
fn out_scale(o: Values) -> f32 {
  var square = threads_sum(0.0, dot(o.a, o.a));
  if (VALUE_DIM > 32u) { square = threads_sum(square, dot(o.b, o.b)); }
  if (VALUE_DIM > 64u) { square = threads_sum(threads_sum(square, dot(o.c, o.c)), dot(o.d, o.d)); }
  return inverseSqrt(square / f32(VALUE_DIM) + EPSILON);
}

// out = o / rms(o) norm silu(z), four elements of the row.
fn store_quad(row: u32, head: u32, lane: u32, scale: f32, o: vec4<f32>) {
  let value_quads = VALUE_HEADS * VALUE_DIM / 4u;
  let value_at = head * (VALUE_DIM / 4u) + lane;
  let z = mixed[row * (channel_quads() + value_quads) + channel_quads() + value_at];
  let gated = vec4<f32>(silu(z.x), silu(z.y), silu(z.z), silu(z.w));
  out[row * value_quads + value_at] = o * scale * norm[lane] * gated;
}

// What is to be written for k of a quad of values, unscaled.
fn correction(thread: u32, lane: u32, beta: f32, fade: f32, key_sum: vec4<f32>) -> vec4<f32> {
  return beta * fma(vec4<f32>(-fade), key_sum, inputs[KEY_DIM / 2u + lane + thread]);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let head = id.x;
  if (step.stopped != 0u || id.y >= step.segments) { return; }
  let segment = segments[id.y];
  if (segment.row_count != 1u) { return; }
  let row = segment.first_row;
  let own = head * KEY_DIM * (VALUE_DIM / 4u) + thread; // within a slot
  let slot_quads = VALUE_HEADS * KEY_DIM * VALUE_DIM / 4u;
  let known = segment.state_read != NONE;
  let start = select(0u, segment.state_read, known) * slot_quads + own;
  load_inputs(segment, row, head, thread);
  workgroupBarrier();
  let ba = gates_of(row, head, thread);
  let products = products_of(thread);
  let sums = reads_of(start, known);

  let key_scale = inverseSqrt(products.x + LENGTH_EPSILON);
  let query_scale = inverseSqrt(products.y + LENGTH_EPSILON) * inverseSqrt(f32(KEY_DIM));
  var factor = 1.0;
  if (is_scaled()) { factor = inverseSqrt(ba.z / f32(HIDDEN) + EPSILON); }
  let beta = sigmoid(factor * ba.x);
  let decay = exp(log_decay(factor * ba.y, a_log[head], dt_bias[head]));
  let fade = decay * key_scale;
  var d = Values();
  d.a = correction(thread, 0u, beta, fade, sums.key.a);
  if (VALUE_DIM > 32u) { d.b = correction(thread, 8u, beta, fade, sums.key.b); }
  if (VALUE_DIM > 64u) {
    d.c = correction(thread, 16u, beta, fade, sums.key.c);
    d.d = correction(thread, 24u, beta, fade, sums.key.d);
  }
  // S_new^T q = e^g S^T q + (k.q) d, so one sweep over the state serves both sums.
  let mix = vec4<f32>(key_scale * products.z);
  let o = Values(
    query_scale * fma(mix, d.a, decay * sums.query.a), query_scale * fma(mix, d.b, decay * sums.query.b),
    query_scale * fma(mix, d.c, decay * sums.query.c), query_scale * fma(mix, d.d, decay * sums.query.d));
  let scale = out_scale(o);
  store_quad(row, head, thread, scale, o.a);
  if (VALUE_DIM > 32u) { store_quad(row, head, thread + 8u, scale, o.b); }
  if (VALUE_DIM > 64u) {
    store_quad(row, head, thread + 16u, scale, o.c);
    store_quad(row, head, thread + 24u, scale, o.d);
  }
  if (segment.state_write != NONE) {
    let write = Values(key_scale * d.a, key_scale * d.b, key_scale * d.c, key_scale * d.d);
    update(start, segment.state_write * slot_quads + own, known, decay, write);
  }
}
