// The gated delta rule in chunks of 16 rows, for segments of many rows (README.md). Per chunk:
//   D = T (V - diag(e^c) K S);  O = diag(e^c) Q S + P D;  S = e^c_last S + (diag(e^(c_last - c)) K)^T D
// convolved [rows, C]: q, k, v with C = 2 KEY_HEADS KEY_DIM + V, V = VALUE_HEADS VALUE_DIM;
// coefficients [rows, VALUE_HEADS, 36] of delta_prepare.wgsl: T, P and the factors;
// state [slots, VALUE_HEADS, KEY_DIM, VALUE_DIM]; out [rows, V]: O, before its norm; all f32.
// One workgroup takes 16 columns (values) of one head through one segment, with their state in workgroup
// memory. A thread has one row of the chunk and four columns. What it reads of the slots it alone writes.

override KEY_HEADS: u32;
override VALUE_HEADS: u32;
override KEY_DIM: u32;
override VALUE_DIM: u32;
override MOST_ROWS: u32; // shorter segments are left to delta_step
override TILE: u32;      // 16 (KEY_DIM / 4 + 1): a quad of padding a row spreads the rows over memory banks
override SLICE: u32;     // 4 KEY_DIM

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> segments: array<Segment>;
@group(0) @binding(2) var<storage, read> convolved: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> state: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

var<workgroup> memory: array<vec4<f32>, SLICE>;   // S [KEY_DIM, 4 quads]
var<workgroup> queries: array<vec4<f32>, TILE>;
var<workgroup> keys: array<vec4<f32>, TILE>;
var<workgroup> rest: array<vec4<f32>, 64>;        // V - diag(e^c) K S [16, 4 quads]
var<workgroup> writes: array<vec4<f32>, 64>;      // D [16, 4 quads]
var<workgroup> decayed: array<vec4<f32>, 64>;     // diag(e^(c_last - c) / |k|) D

// w.x rest[r] + w.y rest[r + 1] + ... of one quad of columns
fn add_rest(sum: vec4<f32>, r: u32, quad: u32, w: vec4<f32>) -> vec4<f32> {
  let at = r * 4u + quad;
  let half = fma(rest[at + 4u], w.yyyy, fma(rest[at], w.xxxx, sum));
  return fma(rest[at + 12u], w.wwww, fma(rest[at + 8u], w.zzzz, half));
}

fn add_writes(sum: vec4<f32>, r: u32, quad: u32, w: vec4<f32>) -> vec4<f32> {
  let at = r * 4u + quad;
  let half = fma(writes[at + 4u], w.yyyy, fma(writes[at], w.xxxx, sum));
  return fma(writes[at + 12u], w.wwww, fma(writes[at + 8u], w.zzzz, half));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (step.stopped != 0u || id.z >= step.segments) { return; }
  let segment = segments[id.z];
  if (segment.row_count <= MOST_ROWS) { return; }
  let head = id.y;
  let quad = thread % 4u;
  let r = thread / 4u;
  let quads = KEY_DIM / 4u;
  let key_quads = KEY_HEADS * quads;
  let value_quads = VALUE_HEADS * VALUE_DIM / 4u;
  let channel_quads = 2u * key_quads + value_quads;
  let query_at = head / (VALUE_HEADS / KEY_HEADS) * quads;
  let value_at = head * (VALUE_DIM / 4u) + id.x * 4u + quad;
  let own = head * KEY_DIM * (VALUE_DIM / 4u) + id.x * 4u + quad; // within a slot
  let slot_quads = KEY_DIM * value_quads;

  for (var key = r; key < KEY_DIM; key += 16u) {
    var s = vec4<f32>();
    if (segment.state_read != NONE) {
      s = state[segment.state_read * slot_quads + own + key * (VALUE_DIM / 4u)];
    }
    memory[key * 4u + quad] = s;
  }
  for (var start = 0u; start < segment.row_count; start += BLOCK_ROWS) {
    let first = segment.first_row + start;
    let count = min(BLOCK_ROWS, segment.row_count - start);
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
    workgroupBarrier();

    var key_sum = vec4<f32>();
    var query_sum = vec4<f32>();
    for (var n = 0u; n < quads; n++) {
      let k = keys[r * (quads + 1u) + n];
      let q = queries[r * (quads + 1u) + n];
      let s0 = memory[n * 16u + quad];
      let s1 = memory[n * 16u + 4u + quad];
      let s2 = memory[n * 16u + 8u + quad];
      let s3 = memory[n * 16u + 12u + quad];
      key_sum = fma(s3, k.wwww, fma(s2, k.zzzz, fma(s1, k.yyyy, fma(s0, k.xxxx, key_sum))));
      query_sum = fma(s3, q.wwww, fma(s2, q.zzzz, fma(s1, q.yyyy, fma(s0, q.xxxx, query_sum))));
    }
    let inside = r < count;
    let at = ((first + min(r, count - 1u)) * VALUE_HEADS + head) * 9u;
    let factors = coefficients[at + 8u];
    var v = vec4<f32>();
    if (inside) { v = convolved[(first + r) * channel_quads + 2u * key_quads + value_at]; }
    rest[thread] = fma(-factors.xxxx, key_sum, v);
    workgroupBarrier();

    // A row past the end repeats the last row's T: harmless, its key is zero and so is its column of P.
    var d = add_rest(vec4<f32>(), 0u, quad, coefficients[at]);
    d = add_rest(d, 4u, quad, coefficients[at + 1u]);
    d = add_rest(d, 8u, quad, coefficients[at + 2u]);
    d = add_rest(d, 12u, quad, coefficients[at + 3u]);
    writes[thread] = d;
    decayed[thread] = factors.z * d;
    workgroupBarrier();

    if (inside) {
      var o = add_writes(factors.y * query_sum, 0u, quad, coefficients[at + 4u]);
      o = add_writes(o, 4u, quad, coefficients[at + 5u]);
      o = add_writes(o, 8u, quad, coefficients[at + 6u]);
      o = add_writes(o, 12u, quad, coefficients[at + 7u]);
      out[(first + r) * value_quads + value_at] = o;
    }
    for (var n = r; n < quads; n += 16u) {
      var s0 = factors.w * memory[n * 16u + quad];
      var s1 = factors.w * memory[n * 16u + 4u + quad];
      var s2 = factors.w * memory[n * 16u + 8u + quad];
      var s3 = factors.w * memory[n * 16u + 12u + quad];
      for (var i = 0u; i < 16u; i++) {
        let k = keys[i * (quads + 1u) + n];
        let write = decayed[i * 4u + quad];
        s0 = fma(write, k.xxxx, s0);
        s1 = fma(write, k.yyyy, s1);
        s2 = fma(write, k.zzzz, s2);
        s3 = fma(write, k.wwww, s3);
      }
      memory[n * 16u + quad] = s0;
      memory[n * 16u + 4u + quad] = s1;
      memory[n * 16u + 8u + quad] = s2;
      memory[n * 16u + 12u + quad] = s3;
    }
    workgroupBarrier();
  }
  if (segment.state_write != NONE) {
    for (var key = r; key < KEY_DIM; key += 16u) {
      state[segment.state_write * slot_quads + own + key * (VALUE_DIM / 4u)] =
        memory[key * 4u + quad];
    }
  }
}
