// What a chunk of 16 rows needs of the gated delta rule before its state is known (delta_rule/README.md):
//   A_ij = beta_i e^(c_i - c_j) k_i.k_j for i > j;  T = (I + A)^-1 diag(beta), by forward substitution;
//   P_ij = e^(c_i - c_j) q_i.k_j for i >= j;        c_i = g_0 + ... + g_i.
// convolved [rows, C]: q, k, v with C = 2 KEY_HEADS KEY_DIM + VALUE_HEADS VALUE_DIM;
// ba [rows, 2 VALUE_HEADS]; a_log, dt_bias [VALUE_HEADS];
// coefficients [rows, VALUE_HEADS, 36]: row i of T, row i of P, then four factors: e^c_i / |k_i|,
// e^c_i / |q_i| / sqrt(KEY_DIM), e^(c_last - c_i) / |k_i|, e^c_last; all f32.
// One workgroup prepares one value head of one chunk; segments of up to MOST_ROWS rows are left out.

override KEY_HEADS: u32;
override VALUE_HEADS: u32;
override KEY_DIM: u32;
override VALUE_DIM: u32;
override MOST_ROWS: u32;
override TILE: u32; // 16 (KEY_DIM / 4 + 1): a quad of padding a row spreads the rows over memory banks

const LENGTH_EPSILON: f32 = 1e-6;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> segments: array<Segment>;
@group(0) @binding(2) var<storage, read> convolved: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> ba: array<f32>;
@group(0) @binding(4) var<storage, read> a_log: array<f32>;
@group(0) @binding(5) var<storage, read> dt_bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> coefficients: array<f32>;

var<workgroup> queries: array<vec4<f32>, TILE>;
var<workgroup> keys: array<vec4<f32>, TILE>;
var<workgroup> decays: array<f32, 16>;        // g of each row
var<workgroup> betas: array<f32, 16>;
var<workgroup> scales: array<f32, 32>;        // 1 / |k_i|, then 1 / |q_i| / sqrt(KEY_DIM)
var<workgroup> sums: array<f32, 16>;          // c
var<workgroup> lower: array<f32, 256>;        // A below the diagonal
var<workgroup> inverse: array<f32, 256>;      // (I + A)^-1

fn total(v: vec4<f32>) -> f32 {
  return (v.x + v.y) + (v.z + v.w);
}

// Puts A_ij and P_ij in their places, given q_i.k_j and k_i.k_j of the unscaled vectors.
fn put_pair(i: u32, j: u32, base: u32, inside: bool, query_key: f32, key_key: f32) {
  // The exponent is positive above the diagonal and may overflow: mask first.
  let decay = select(0.0, exp(min(sums[i] - sums[j], 0.0)), i >= j) * scales[j];
  lower[i * 16u + j] = betas[i] * decay * scales[i] * key_key;
  if (inside) { coefficients[base + 16u + j] = decay * scales[16u + i] * query_key; }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (step.stopped != 0u) { return; }
  let block = find_block(id.x);
  if (block.segment == NONE) { return; }
  let segment = segments[block.segment];
  if (segment.row_count <= MOST_ROWS) { return; }
  let head = id.y;
  let first = segment.first_row + block.first;
  let count = min(BLOCK_ROWS, segment.row_count - block.first);

  let quads = KEY_DIM / 4u;
  let key_quads = KEY_HEADS * quads;
  let channel_quads = 2u * key_quads + VALUE_HEADS * VALUE_DIM / 4u;
  let query_at = head / (VALUE_HEADS / KEY_HEADS) * quads;
  for (var n = thread; n < 16u * quads; n += 64u) {
    let i = n / quads;
    let at = (first + i) * channel_quads + query_at + n % quads;
    var q = vec4<f32>();
    var k = vec4<f32>();
    if (i < count) {
      q = convolved[at];
      k = convolved[at + key_quads];
    }
    queries[i * (quads + 1u) + n % quads] = q;
    keys[i * (quads + 1u) + n % quads] = k;
  }
  if (thread < 16u) {
    var g = 0.0;
    var beta = 0.0;
    if (thread < count) {
      let gate = (first + thread) * 2u * VALUE_HEADS + head;
      beta = sigmoid(ba[gate]);
      g = log_decay(ba[gate + VALUE_HEADS], a_log[head], dt_bias[head]);
    }
    decays[thread] = g;
    betas[thread] = beta;
  }
  workgroupBarrier();

  if (thread < 16u) {
    var square = vec4<f32>();
    for (var n = 0u; n < quads; n++) {
      let k = keys[thread * (quads + 1u) + n];
      square = fma(k, k, square);
    }
    scales[thread] = inverseSqrt(total(square) + LENGTH_EPSILON);
    var sum = 0.0;
    for (var i = 0u; i <= thread; i++) { sum += decays[i]; }
    sums[thread] = sum;
  } else if (thread < 32u) {
    var square = vec4<f32>();
    for (var n = 0u; n < quads; n++) {
      let q = queries[(thread - 16u) * (quads + 1u) + n];
      square = fma(q, q, square);
    }
    scales[thread] = inverseSqrt(total(square) + LENGTH_EPSILON) * inverseSqrt(f32(KEY_DIM));
  }
  workgroupBarrier();

  // Each thread has two rows by two columns of both products.
  let i0 = thread / 8u * 2u;
  let j0 = thread % 8u * 2u;
  let width = 36u;
  let base = ((first + i0) * VALUE_HEADS + head) * width;
  let next = base + VALUE_HEADS * width;
  var kk00 = vec4<f32>();
  var kk01 = vec4<f32>();
  var kk10 = vec4<f32>();
  var kk11 = vec4<f32>();
  var qk00 = vec4<f32>();
  var qk01 = vec4<f32>();
  var qk10 = vec4<f32>();
  var qk11 = vec4<f32>();
  if (j0 <= i0) {
    for (var n = 0u; n < quads; n++) {
      let ki0 = keys[i0 * (quads + 1u) + n];
      let ki1 = keys[(i0 + 1u) * (quads + 1u) + n];
      let kj0 = keys[j0 * (quads + 1u) + n];
      let kj1 = keys[(j0 + 1u) * (quads + 1u) + n];
      let q0 = queries[i0 * (quads + 1u) + n];
      let q1 = queries[(i0 + 1u) * (quads + 1u) + n];
      kk00 = fma(ki0, kj0, kk00);
      kk01 = fma(ki0, kj1, kk01);
      kk10 = fma(ki1, kj0, kk10);
      kk11 = fma(ki1, kj1, kk11);
      qk00 = fma(q0, kj0, qk00);
      qk01 = fma(q0, kj1, qk01);
      qk10 = fma(q1, kj0, qk10);
      qk11 = fma(q1, kj1, qk11);
    }
  }
  put_pair(i0, j0, base, i0 < count, total(qk00), total(kk00));
  put_pair(i0, j0 + 1u, base, i0 < count, total(qk01), total(kk01));
  put_pair(i0 + 1u, j0, next, i0 + 1u < count, total(qk10), total(kk10));
  put_pair(i0 + 1u, j0 + 1u, next, i0 + 1u < count, total(qk11), total(kk11));
  workgroupBarrier();

  if (thread < 16u) {
    // Column `thread` of the inverse, top down; no other thread reads or writes it.
    for (var i = 0u; i < count; i++) {
      var value = select(0.0, 1.0, i == thread);
      for (var m = thread; m < i; m++) {
        value = fma(-lower[i * 16u + m], inverse[m * 16u + thread], value);
      }
      inverse[i * 16u + thread] = value;
      let at = ((first + i) * VALUE_HEADS + head) * width;
      coefficients[at + thread] = value * betas[thread];
    }
  } else if (thread < 16u + count) {
    let i = thread - 16u;
    let at = ((first + i) * VALUE_HEADS + head) * width + 32u;
    let last = sums[15]; // rows past the end have g = 0
    coefficients[at] = exp(sums[i]) * scales[i];
    coefficients[at + 1u] = exp(sums[i]) * scales[16u + i];
    coefficients[at + 2u] = exp(last - sums[i]) * scales[i];
    coefficients[at + 3u] = exp(last);
  }
}
