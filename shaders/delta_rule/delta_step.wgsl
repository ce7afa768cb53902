// The gated delta rule row by row, for segments of few rows, with all that stands between the projections: gates and, for
// a segment of one row, the convolution (causal_conv.wgsl) before it, the gated norm after it:
//   b, a = gates x;  q, k, v = silu(conv(mixed));  beta = sigmoid(b);  g = log_decay(a)
//   S = e^g S; d = beta (v - S^T k); S = S + k d^T; o = S^T q; out = o / rms(o) norm silu(z)
// where k and q are divided by their lengths and q by sqrt(KEY_DIM), after the sums instead of before.
// mixed [rows, C + V]: q, k, v before the convolution, C = 2 KEY_HEADS KEY_DIM + V, V = VALUE_HEADS VALUE_DIM, then z;
// convolved [rows, C]: read where a segment has several rows; conv_weight [C, TAPS]; conv_state [slots, TAPS, C];
// x [rows, HIDDEN], in steps of few rows scaled but not yet normed, squares [rows, PARTS] the rest of the norm; gates BF16 [2 VALUE_HEADS, HIDDEN]: b of all heads, then a; a_log, dt_bias [VALUE_HEADS];
// norm [VALUE_DIM]; state [slots, VALUE_HEADS, KEY_DIM, VALUE_DIM]; out [rows, V]; f32 unless said otherwise.
// One workgroup takes one value head through the rows of one segment, its state in registers: a thread
// has 16 keys by 4 values, LANES threads span the values and GROUPS of LANES the keys. What it reads of
// the state slots it alone writes, so the slot to read may be the slot to write; of the rings of the convolution, the
// first value head of a key head writes what others do not read.

override STRIPES: u32; // threads that add up the gates: at most THREADS

var<workgroup> gate_parts: array<vec3<f32>, THREADS>;  // of each thread: b, a, squares of x
var<workgroup> gate_sums: array<vec3<f32>, STRIPES>;   // of each stripe of the threads
var<workgroup> key_sums: array<vec4<f32>, THREADS>;
var<workgroup> query_sums: array<vec4<f32>, THREADS>;
var<workgroup> lengths: array<vec3<f32>, 8>;  // of each group's keys: k.k, q.q, q.k
var<workgroup> writes: array<vec4<f32>, 32>;  // d of each lane
var<workgroup> row_decay: f32;
var<workgroup> out_squares: array<f32, 32>;   // of each lane's outputs

// Four keys by four values; a column is one key.
fn load_keys(base: u32) -> mat4x4<f32> {
  let quads = VALUE_DIM / 4u;
  return mat4x4<f32>(
    state[base], state[base + quads], state[base + 2u * quads], state[base + 3u * quads],
  );
}

fn store_keys(base: u32, s: mat4x4<f32>) {
  let quads = VALUE_DIM / 4u;
  state[base] = s[0];
  state[base + quads] = s[1];
  state[base + 2u * quads] = s[2];
  state[base + 3u * quads] = s[3];
}

// sum + s weights
fn add_keys(sum: vec4<f32>, s: mat4x4<f32>, weights: vec4<f32>) -> vec4<f32> {
  let half = fma(s[1], weights.yyyy, fma(s[0], weights.xxxx, sum));
  return fma(s[3], weights.wwww, fma(s[2], weights.zzzz, half));
}

// decay s + d k^T
fn update_keys(s: mat4x4<f32>, decay: f32, d: vec4<f32>, k: vec4<f32>) -> mat4x4<f32> {
  return mat4x4<f32>(
    fma(d, k.xxxx, decay * s[0]),
    fma(d, k.yyyy, decay * s[1]),
    fma(d, k.zzzz, decay * s[2]),
    fma(d, k.wwww, decay * s[3]),
  );
}

fn dot16(a0: vec4<f32>, a1: vec4<f32>, a2: vec4<f32>, a3: vec4<f32>,
         b0: vec4<f32>, b1: vec4<f32>, b2: vec4<f32>, b3: vec4<f32>) -> f32 {
  let sums = fma(a3, b3, fma(a2, b2, fma(a1, b1, a0 * b0)));
  return (sums.x + sums.y) + (sums.z + sums.w);
}

// The state of a thread: 16 keys by 4 values.
struct State {
  a: mat4x4<f32>,
  b: mat4x4<f32>,
  c: mat4x4<f32>,
  d: mat4x4<f32>,
}

fn load_state(base: u32) -> State {
  return State(load_keys(base), load_keys(base + VALUE_DIM), load_keys(base + 2u * VALUE_DIM), load_keys(base + 3u * VALUE_DIM));
}

fn store_state(base: u32, s: State) {
  store_keys(base, s.a);
  store_keys(base + VALUE_DIM, s.b);
  store_keys(base + 2u * VALUE_DIM, s.c);
  store_keys(base + 3u * VALUE_DIM, s.d);
}

// A lane's four outputs before their norm; leaves what is to be written for k, and the decay, where all threads find them.
fn finish_sums(head: u32, lane: u32) -> vec4<f32> {
  let lanes = VALUE_DIM / 4u;
  var key_sum = vec4<f32>();
  var query_sum = vec4<f32>();
  var products = vec3<f32>();
  for (var g = 0u; g < KEY_DIM / 16u; g++) {
    key_sum += key_sums[g * lanes + lane];
    query_sum += query_sums[g * lanes + lane];
    products += lengths[g];
  }
  var ba = vec3<f32>();
  for (var i = 0u; i < STRIPES; i++) { ba += gate_sums[i]; }
  let key_scale = inverseSqrt(products.x + LENGTH_EPSILON);
  let query_scale = inverseSqrt(products.y + LENGTH_EPSILON) * inverseSqrt(f32(KEY_DIM));
  var factor = 1.0;
  if (is_scaled()) { factor = inverseSqrt(ba.z / f32(HIDDEN) + EPSILON); }
  let beta = sigmoid(factor * ba.x);
  let decay = exp(log_decay(factor * ba.y, a_log[head], dt_bias[head]));
  let d = beta * fma(vec4<f32>(-decay * key_scale), key_sum, inputs[KEY_DIM / 2u + lane]);
  // S_new^T q = e^g S^T q + (k.q) d, so one sweep over the state serves both sums.
  let o = query_scale * fma(vec4<f32>(key_scale * products.z), d, decay * query_sum);
  writes[lane] = key_scale * d;
  out_squares[lane] = dot(o, o);
  if (lane == 0u) { row_decay = decay; }
  return o;
}

// out = o / rms(o) norm silu(z), four elements of a row.
fn store_output(row: u32, head: u32, lane: u32, o: vec4<f32>) {
  let lanes = VALUE_DIM / 4u;
  let value_quads = VALUE_HEADS * lanes;
  let value_at = head * lanes + lane;
  var square = 0.0;
  for (var l = 0u; l < lanes; l++) { square += out_squares[l]; }
  let scale = inverseSqrt(square / f32(VALUE_DIM) + EPSILON);
  let z = mixed[row * (channel_quads() + value_quads) + channel_quads() + value_at];
  let gated = vec4<f32>(silu(z.x), silu(z.y), silu(z.z), silu(z.w));
  out[row * value_quads + value_at] = o * scale * norm[lane] * gated;
}

// One row: the state after it.
fn run_row(segment: Segment, row: u32, head: u32, thread: u32, s: State) -> State {
  let lanes = VALUE_DIM / 4u;
  let lane = thread % lanes;
  let group = thread / lanes;
  load_inputs(segment, row, head, thread);
  gate_parts[thread] = gate_part(row, head, thread);
  workgroupBarrier();
  let q = group * 4u;
  let k = q + KEY_DIM / 4u;
  let q0 = inputs[q];
  let q1 = inputs[q + 1u];
  let q2 = inputs[q + 2u];
  let q3 = inputs[q + 3u];
  let k0 = inputs[k];
  let k1 = inputs[k + 1u];
  let k2 = inputs[k + 2u];
  let k3 = inputs[k + 3u];
  let key_start = add_keys(add_keys(vec4<f32>(), s.a, k0), s.b, k1);
  key_sums[thread] = add_keys(add_keys(key_start, s.c, k2), s.d, k3);
  let query_start = add_keys(add_keys(vec4<f32>(), s.a, q0), s.b, q1);
  query_sums[thread] = add_keys(add_keys(query_start, s.c, q2), s.d, q3);
  if (lane == 0u) {
    lengths[group] = vec3<f32>(
      dot16(k0, k1, k2, k3, k0, k1, k2, k3),
      dot16(q0, q1, q2, q3, q0, q1, q2, q3),
      dot16(q0, q1, q2, q3, k0, k1, k2, k3),
    );
  }
  if (thread < STRIPES) {
    var sum = vec3<f32>();
    for (var i = thread; i < THREADS; i += STRIPES) { sum += gate_parts[i]; }
    gate_sums[thread] = sum;
  }
  workgroupBarrier();
  var o = vec4<f32>();
  if (thread < lanes) { o = finish_sums(head, thread); }
  workgroupBarrier();
  if (thread < lanes) { store_output(row, head, thread, o); }
  let write = writes[lane];
  let decay = row_decay;
  return State(
    update_keys(s.a, decay, write, k0),
    update_keys(s.b, decay, write, k1),
    update_keys(s.c, decay, write, k2),
    update_keys(s.d, decay, write, k3));
}

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let head = id.x;
  if (step.stopped != 0u || id.y >= step.segments) { return; }
  let segment = segments[id.y];
  if (segment.row_count < FEWEST_ROWS || segment.row_count > MOST_ROWS) { return; }
  let lanes = VALUE_DIM / 4u;
  let own = (head * KEY_DIM + thread / lanes * 16u) * lanes + thread % lanes; // within a slot
  let slot_quads = VALUE_HEADS * KEY_DIM * lanes;
  var s = State();
  if (segment.state_read != NONE) { s = load_state(segment.state_read * slot_quads + own); }
  if (MOST_ROWS == 1u) {
    // Without a loop around it: CPUs that run shaders pay for that in every load.
    s = run_row(segment, segment.first_row, head, thread, s);
  } else {
    for (var t = 0u; t < segment.row_count; t++) {
      s = run_row(segment, segment.first_row + t, head, thread, s);
    }
  }
  if (segment.state_write != NONE) { store_state(segment.state_write * slot_quads + own, s); }
}
