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

override KEY_HEADS: u32;
override VALUE_HEADS: u32;
override KEY_DIM: u32;
override VALUE_DIM: u32;
override HIDDEN: u32;    // a multiple of 16
override PARTS: u32;     // of the squares of x; 0: x is normed in any step
override SCALED_ROWS: u32; // most rows of a step whose x is scaled
override EPSILON: f32;
override MOST_ROWS: u32; // longer segments are left to the chunked kernels
override THREADS: u32;   // KEY_DIM VALUE_DIM / 64
override INPUTS: u32;    // (2 KEY_DIM + VALUE_DIM) / 4
override STRIPES: u32;   // threads that add up the gates: at most THREADS

const LENGTH_EPSILON: f32 = 1e-6;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> segments: array<Segment>;
@group(0) @binding(2) var<storage, read> mixed: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> convolved: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> conv_weight: array<f32>;
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> gates: array<Codes>;
@group(0) @binding(7) var<storage, read> a_log: array<f32>;
@group(0) @binding(8) var<storage, read> dt_bias: array<f32>;
@group(0) @binding(9) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(10) var<storage, read_write> conv_state: array<vec4<f32>>;
@group(0) @binding(11) var<storage, read_write> state: array<vec4<f32>>;
@group(0) @binding(12) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(13) var<storage, read> squares: array<f32>;

var<workgroup> inputs: array<vec4<f32>, INPUTS>;       // the head's q, k, v
var<workgroup> gate_parts: array<vec3<f32>, THREADS>;  // of each thread: b, a, squares of x
var<workgroup> gate_sums: array<vec3<f32>, STRIPES>;   // of each stripe of the threads
var<workgroup> key_sums: array<vec4<f32>, THREADS>;
var<workgroup> query_sums: array<vec4<f32>, THREADS>;
var<workgroup> lengths: array<vec3<f32>, 8>;  // of each group's keys: k.k, q.q, q.k
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

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let head = id.x;
  if (step.stopped != 0u || id.y >= step.segments) { return; }
  let segment = segments[id.y];
  if (segment.row_count > MOST_ROWS) { return; }
  let lanes = VALUE_DIM / 4u;
  let groups = KEY_DIM / 16u;
  let lane = thread % lanes;
  let group = thread / lanes;
  let value_quads = VALUE_HEADS * VALUE_DIM / 4u;
  let value_at = head * lanes + lane;
  let own = (head * KEY_DIM + group * 16u) * lanes + lane; // within a slot
  let slot_quads = VALUE_HEADS * KEY_DIM * lanes;

  var s0 = mat4x4<f32>();
  var s1 = mat4x4<f32>();
  var s2 = mat4x4<f32>();
  var s3 = mat4x4<f32>();
  if (segment.state_read != NONE) {
    let base = segment.state_read * slot_quads + own;
    s0 = load_keys(base);
    s1 = load_keys(base + 4u * lanes);
    s2 = load_keys(base + 8u * lanes);
    s3 = load_keys(base + 12u * lanes);
  }
  for (var t = 0u; t < segment.row_count; t++) {
    let row = segment.first_row + t;
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
    let key_start = add_keys(add_keys(vec4<f32>(), s0, k0), s1, k1);
    key_sums[thread] = add_keys(add_keys(key_start, s2, k2), s3, k3);
    let query_start = add_keys(add_keys(vec4<f32>(), s0, q0), s1, q1);
    query_sums[thread] = add_keys(add_keys(query_start, s2, q2), s3, q3);
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
    var key_sum = vec4<f32>();
    var query_sum = vec4<f32>();
    var products = vec3<f32>();
    for (var g = 0u; g < groups; g++) {
      key_sum += key_sums[g * lanes + lane];
      query_sum += query_sums[g * lanes + lane];
      products += lengths[g];
    }
    let key_scale = inverseSqrt(products.x + LENGTH_EPSILON);
    let query_scale = inverseSqrt(products.y + LENGTH_EPSILON) * inverseSqrt(f32(KEY_DIM));
    var ba = vec3<f32>();
    for (var i = 0u; i < STRIPES; i++) { ba += gate_sums[i]; }
    var factor = 1.0;
    if (is_scaled()) { factor = inverseSqrt(ba.z / f32(HIDDEN) + EPSILON); }
    let beta = sigmoid(factor * ba.x);
    let decay = exp(log_decay(factor * ba.y, a_log[head], dt_bias[head]));
    let v = inputs[KEY_DIM / 2u + lane];
    let d = beta * fma(vec4<f32>(-decay * key_scale), key_sum, v);
    // S_new^T q = e^g S^T q + (k.q) d, so one sweep over the state serves both sums.
    let o = query_scale * fma(vec4<f32>(key_scale * products.z), d, decay * query_sum);
    let write = key_scale * d;
    s0 = update_keys(s0, decay, write, k0);
    s1 = update_keys(s1, decay, write, k1);
    s2 = update_keys(s2, decay, write, k2);
    s3 = update_keys(s3, decay, write, k3);
    if (group == 0u) { out_squares[lane] = dot(o, o); }
    workgroupBarrier();
    if (group == 0u) {
      var square = 0.0;
      for (var l = 0u; l < lanes; l++) { square += out_squares[l]; }
      let scale = inverseSqrt(square / f32(VALUE_DIM) + EPSILON);
      let z = mixed[row * (channel_quads() + value_quads) + channel_quads() + value_at];
      let gated = vec4<f32>(silu(z.x), silu(z.y), silu(z.z), silu(z.w));
      out[row * value_quads + value_at] = o * scale * norm[lane] * gated;
    }
  }
  if (segment.state_write != NONE) {
    let base = segment.state_write * slot_quads + own;
    store_keys(base, s0);
    store_keys(base + 4u * lanes, s1);
    store_keys(base + 8u * lanes, s2);
    store_keys(base + 12u * lanes, s3);
  }
}
