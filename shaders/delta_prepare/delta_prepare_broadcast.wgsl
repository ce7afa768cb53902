// delta_prepare.wgsl for subgroups of 8 threads on a CPU, where a load costs far more than a multiplication: a workgroup of 8
// threads prepares all value heads of one key head of one chunk. Thread t has columns t and t + 8 of all matrices, and rows
// t and t + 8 of what there is one of a row; threads tell each other the rest, and none waits.

override KEY_HEADS: u32;
override VALUE_HEADS: u32;
override KEY_DIM: u32;
override VALUE_DIM: u32;
override MOST_ROWS: u32;

const LENGTH_EPSILON: f32 = 1e-6;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> segments: array<Segment>;
@group(0) @binding(2) var<storage, read> convolved: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> ba: array<f32>;
@group(0) @binding(4) var<storage, read> a_log: array<f32>;
@group(0) @binding(5) var<storage, read> dt_bias: array<f32>;
@group(0) @binding(6) var<storage, read_write> coefficients: array<f32>;

// Of a row i, for this thread's columns: k_i.k_t, k_i.k_(t + 8), q_i.k_t, q_i.k_(t + 8) of the unscaled vectors.
struct Products {
  r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32>, r4: vec4<f32>, r5: vec4<f32>, r6: vec4<f32>, r7: vec4<f32>,
  r8: vec4<f32>, r9: vec4<f32>, r10: vec4<f32>, r11: vec4<f32>, r12: vec4<f32>, r13: vec4<f32>, r14: vec4<f32>, r15: vec4<f32>,
}

// This thread's two columns of a matrix, by rows.
struct Columns {
  r0: vec2<f32>, r1: vec2<f32>, r2: vec2<f32>, r3: vec2<f32>, r4: vec2<f32>, r5: vec2<f32>, r6: vec2<f32>, r7: vec2<f32>,
  r8: vec2<f32>, r9: vec2<f32>, r10: vec2<f32>, r11: vec2<f32>, r12: vec2<f32>, r13: vec2<f32>, r14: vec2<f32>, r15: vec2<f32>,
}

// Where the chunk's rows lie.
struct Chunk {
  first: u32, // row of the step
  count: u32,
}

// What this thread knows of its two rows and columns.
struct Own {
  beta: vec2<f32>,
  sum: vec2<f32>,         // c
  key_scale: vec2<f32>,   // 1 / |k|
  query_scale: vec2<f32>, // 1 / |q| / sqrt(KEY_DIM)
}

fn dot_on(x: vec4<f32>, y: vec4<f32>, sum: f32) -> f32 {
  return fma(x.w, y.w, fma(x.z, y.z, fma(x.y, y.y, fma(x.x, y.x, sum))));
}

// A quad of a row of the chunk; zeros past its end.
fn quad_of(chunk: Chunk, row: u32, at: u32) -> vec4<f32> {
  let stride = (2u * KEY_HEADS * KEY_DIM + VALUE_HEADS * VALUE_DIM) / 4u;
  let value = convolved[(chunk.first + min(row, chunk.count - 1u)) * stride + at];
  return select(vec4<f32>(), value, row < chunk.count);
}

// The columns of the second half are above the diagonal in the rows of the first.
fn add_low(sum: vec4<f32>, k: vec4<f32>, q: vec4<f32>, low: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(dot_on(k, low, sum.x), 0.0, dot_on(q, low, sum.z), 0.0);
}

fn add_high(sum: vec4<f32>, k: vec4<f32>, q: vec4<f32>, low: vec4<f32>, high: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(dot_on(k, low, sum.x), dot_on(k, high, sum.y), dot_on(q, low, sum.z), dot_on(q, high, sum.w));
}

fn add_quad(p: Products, k0: vec4<f32>, k1: vec4<f32>, q0: vec4<f32>, q1: vec4<f32>) -> Products {
  return Products(
    add_low(p.r0, subgroupBroadcast(k0, 0u), subgroupBroadcast(q0, 0u), k0),
    add_low(p.r1, subgroupBroadcast(k0, 1u), subgroupBroadcast(q0, 1u), k0),
    add_low(p.r2, subgroupBroadcast(k0, 2u), subgroupBroadcast(q0, 2u), k0),
    add_low(p.r3, subgroupBroadcast(k0, 3u), subgroupBroadcast(q0, 3u), k0),
    add_low(p.r4, subgroupBroadcast(k0, 4u), subgroupBroadcast(q0, 4u), k0),
    add_low(p.r5, subgroupBroadcast(k0, 5u), subgroupBroadcast(q0, 5u), k0),
    add_low(p.r6, subgroupBroadcast(k0, 6u), subgroupBroadcast(q0, 6u), k0),
    add_low(p.r7, subgroupBroadcast(k0, 7u), subgroupBroadcast(q0, 7u), k0),
    add_high(p.r8, subgroupBroadcast(k1, 0u), subgroupBroadcast(q1, 0u), k0, k1),
    add_high(p.r9, subgroupBroadcast(k1, 1u), subgroupBroadcast(q1, 1u), k0, k1),
    add_high(p.r10, subgroupBroadcast(k1, 2u), subgroupBroadcast(q1, 2u), k0, k1),
    add_high(p.r11, subgroupBroadcast(k1, 3u), subgroupBroadcast(q1, 3u), k0, k1),
    add_high(p.r12, subgroupBroadcast(k1, 4u), subgroupBroadcast(q1, 4u), k0, k1),
    add_high(p.r13, subgroupBroadcast(k1, 5u), subgroupBroadcast(q1, 5u), k0, k1),
    add_high(p.r14, subgroupBroadcast(k1, 6u), subgroupBroadcast(q1, 6u), k0, k1),
    add_high(p.r15, subgroupBroadcast(k1, 7u), subgroupBroadcast(q1, 7u), k0, k1));
}

// c of this thread's rows.
fn running_sums(g: vec2<f32>, thread: u32) -> vec2<f32> {
  var sum = 0.0;
  var own = vec2<f32>();
  sum += subgroupBroadcast(g.x, 0u);
  own.x = select(own.x, sum, thread == 0u);
  sum += subgroupBroadcast(g.x, 1u);
  own.x = select(own.x, sum, thread == 1u);
  sum += subgroupBroadcast(g.x, 2u);
  own.x = select(own.x, sum, thread == 2u);
  sum += subgroupBroadcast(g.x, 3u);
  own.x = select(own.x, sum, thread == 3u);
  sum += subgroupBroadcast(g.x, 4u);
  own.x = select(own.x, sum, thread == 4u);
  sum += subgroupBroadcast(g.x, 5u);
  own.x = select(own.x, sum, thread == 5u);
  sum += subgroupBroadcast(g.x, 6u);
  own.x = select(own.x, sum, thread == 6u);
  sum += subgroupBroadcast(g.x, 7u);
  own.x = select(own.x, sum, thread == 7u);
  sum += subgroupBroadcast(g.y, 0u);
  own.y = select(own.y, sum, thread == 0u);
  sum += subgroupBroadcast(g.y, 1u);
  own.y = select(own.y, sum, thread == 1u);
  sum += subgroupBroadcast(g.y, 2u);
  own.y = select(own.y, sum, thread == 2u);
  sum += subgroupBroadcast(g.y, 3u);
  own.y = select(own.y, sum, thread == 3u);
  sum += subgroupBroadcast(g.y, 4u);
  own.y = select(own.y, sum, thread == 4u);
  sum += subgroupBroadcast(g.y, 5u);
  own.y = select(own.y, sum, thread == 5u);
  sum += subgroupBroadcast(g.y, 6u);
  own.y = select(own.y, sum, thread == 6u);
  sum += subgroupBroadcast(g.y, 7u);
  own.y = select(own.y, sum, thread == 7u);
  return own;
}

// Stores a row of P and leaves that of A, given row i's beta, c and scales and the number of this thread's first column.
fn put_row(chunk: Chunk, head: u32, i: u32, row: vec4<f32>, own: Own, thread: u32, products: vec4<f32>) -> vec2<f32> {
  let columns = vec2<u32>(thread, thread + 8u);
  // The exponent is positive above the diagonal and may overflow: mask first.
  let decay = select(vec2<f32>(), exp(min(vec2<f32>(row.y) - own.sum, vec2<f32>())), vec2<u32>(i) >= columns) * own.key_scale;
  let p = decay * row.w * products.zw;
  if (i < chunk.count) {
    let at = ((chunk.first + i) * VALUE_HEADS + head) * 36u + 16u + thread;
    coefficients[at] = p.x;
    coefficients[at + 8u] = p.y;
  }
  return select(vec2<f32>(), row.x * decay * row.z * products.xy, vec2<u32>(i) > columns);
}

// beta, c and the scales of a row: of this thread's first, or its second.
fn first_row(own: Own) -> vec4<f32> {
  return vec4<f32>(own.beta.x, own.sum.x, own.key_scale.x, own.query_scale.x);
}

fn second_row(own: Own) -> vec4<f32> {
  return vec4<f32>(own.beta.y, own.sum.y, own.key_scale.y, own.query_scale.y);
}

fn put_rows(chunk: Chunk, head: u32, own: Own, thread: u32, p: Products) -> Columns {
  let low = first_row(own);
  let high = second_row(own);
  return Columns(
    put_row(chunk, head, 0u, subgroupBroadcast(low, 0u), own, thread, p.r0),
    put_row(chunk, head, 1u, subgroupBroadcast(low, 1u), own, thread, p.r1),
    put_row(chunk, head, 2u, subgroupBroadcast(low, 2u), own, thread, p.r2),
    put_row(chunk, head, 3u, subgroupBroadcast(low, 3u), own, thread, p.r3),
    put_row(chunk, head, 4u, subgroupBroadcast(low, 4u), own, thread, p.r4),
    put_row(chunk, head, 5u, subgroupBroadcast(low, 5u), own, thread, p.r5),
    put_row(chunk, head, 6u, subgroupBroadcast(low, 6u), own, thread, p.r6),
    put_row(chunk, head, 7u, subgroupBroadcast(low, 7u), own, thread, p.r7),
    put_row(chunk, head, 8u, subgroupBroadcast(high, 0u), own, thread, p.r8),
    put_row(chunk, head, 9u, subgroupBroadcast(high, 1u), own, thread, p.r9),
    put_row(chunk, head, 10u, subgroupBroadcast(high, 2u), own, thread, p.r10),
    put_row(chunk, head, 11u, subgroupBroadcast(high, 3u), own, thread, p.r11),
    put_row(chunk, head, 12u, subgroupBroadcast(high, 4u), own, thread, p.r12),
    put_row(chunk, head, 13u, subgroupBroadcast(high, 5u), own, thread, p.r13),
    put_row(chunk, head, 14u, subgroupBroadcast(high, 6u), own, thread, p.r14),
    put_row(chunk, head, 15u, subgroupBroadcast(high, 7u), own, thread, p.r15));
}

// value - a row of A, given by its columns, times the rows of the inverse that are known; the others are zero.
fn minus_row(value: vec2<f32>, row: vec2<f32>, known: Columns) -> vec2<f32> {
  var v = value;
  v = fma(vec2<f32>(-subgroupBroadcast(row.x, 0u)), known.r0, v);
  v = fma(vec2<f32>(-subgroupBroadcast(row.x, 1u)), known.r1, v);
  v = fma(vec2<f32>(-subgroupBroadcast(row.x, 2u)), known.r2, v);
  v = fma(vec2<f32>(-subgroupBroadcast(row.x, 3u)), known.r3, v);
  v = fma(vec2<f32>(-subgroupBroadcast(row.x, 4u)), known.r4, v);
  v = fma(vec2<f32>(-subgroupBroadcast(row.x, 5u)), known.r5, v);
  v = fma(vec2<f32>(-subgroupBroadcast(row.x, 6u)), known.r6, v);
  v = fma(vec2<f32>(-subgroupBroadcast(row.x, 7u)), known.r7, v);
  v = fma(vec2<f32>(-subgroupBroadcast(row.y, 0u)), known.r8, v);
  v = fma(vec2<f32>(-subgroupBroadcast(row.y, 1u)), known.r9, v);
  v = fma(vec2<f32>(-subgroupBroadcast(row.y, 2u)), known.r10, v);
  v = fma(vec2<f32>(-subgroupBroadcast(row.y, 3u)), known.r11, v);
  v = fma(vec2<f32>(-subgroupBroadcast(row.y, 4u)), known.r12, v);
  v = fma(vec2<f32>(-subgroupBroadcast(row.y, 5u)), known.r13, v);
  v = fma(vec2<f32>(-subgroupBroadcast(row.y, 6u)), known.r14, v);
  v = fma(vec2<f32>(-subgroupBroadcast(row.y, 7u)), known.r15, v);
  return v;
}

// A row of the unit matrix.
fn unit_row(i: u32, thread: u32) -> vec2<f32> {
  return vec2<f32>(select(0.0, 1.0, i == thread), select(0.0, 1.0, i == thread + 8u));
}

// (I + A)^-1, top down.
fn inverse_of(a: Columns, thread: u32) -> Columns {
  var known = Columns();
  known.r0 = minus_row(unit_row(0u, thread), a.r0, known);
  known.r1 = minus_row(unit_row(1u, thread), a.r1, known);
  known.r2 = minus_row(unit_row(2u, thread), a.r2, known);
  known.r3 = minus_row(unit_row(3u, thread), a.r3, known);
  known.r4 = minus_row(unit_row(4u, thread), a.r4, known);
  known.r5 = minus_row(unit_row(5u, thread), a.r5, known);
  known.r6 = minus_row(unit_row(6u, thread), a.r6, known);
  known.r7 = minus_row(unit_row(7u, thread), a.r7, known);
  known.r8 = minus_row(unit_row(8u, thread), a.r8, known);
  known.r9 = minus_row(unit_row(9u, thread), a.r9, known);
  known.r10 = minus_row(unit_row(10u, thread), a.r10, known);
  known.r11 = minus_row(unit_row(11u, thread), a.r11, known);
  known.r12 = minus_row(unit_row(12u, thread), a.r12, known);
  known.r13 = minus_row(unit_row(13u, thread), a.r13, known);
  known.r14 = minus_row(unit_row(14u, thread), a.r14, known);
  known.r15 = minus_row(unit_row(15u, thread), a.r15, known);
  return known;
}

fn store_t(chunk: Chunk, head: u32, i: u32, thread: u32, row: vec2<f32>) {
  if (i >= chunk.count) { return; }
  let at = ((chunk.first + i) * VALUE_HEADS + head) * 36u + thread;
  coefficients[at] = row.x;
  coefficients[at + 8u] = row.y;
}

fn store_factors(chunk: Chunk, head: u32, i: u32, row: vec4<f32>, last: f32) {
  if (i >= chunk.count) { return; }
  let at = ((chunk.first + i) * VALUE_HEADS + head) * 36u + 32u;
  coefficients[at] = exp(row.y) * row.z;
  coefficients[at + 1u] = exp(row.y) * row.w;
  coefficients[at + 2u] = exp(last - row.y) * row.z;
  coefficients[at + 3u] = exp(last);
}

// beta and g of a row; zeros past the end.
fn gates_of(chunk: Chunk, head: u32, i: u32) -> vec2<f32> {
  let at = (chunk.first + min(i, chunk.count - 1u)) * 2u * VALUE_HEADS + head;
  let gates = vec2<f32>(sigmoid(ba[at]), log_decay(ba[at + VALUE_HEADS], a_log[head], dt_bias[head]));
  return select(vec2<f32>(), gates, i < chunk.count);
}

fn prepare_head(chunk: Chunk, head: u32, thread: u32, scales: vec4<f32>, p: Products) {
  let low = gates_of(chunk, head, thread);
  let high = gates_of(chunk, head, thread + 8u);
  let own = Own(vec2<f32>(low.x, high.x), running_sums(vec2<f32>(low.y, high.y), thread), scales.xy, scales.zw);
  let t = inverse_of(put_rows(chunk, head, own, thread, p), thread);
  store_t(chunk, head, 0u, thread, own.beta * t.r0);
  store_t(chunk, head, 1u, thread, own.beta * t.r1);
  store_t(chunk, head, 2u, thread, own.beta * t.r2);
  store_t(chunk, head, 3u, thread, own.beta * t.r3);
  store_t(chunk, head, 4u, thread, own.beta * t.r4);
  store_t(chunk, head, 5u, thread, own.beta * t.r5);
  store_t(chunk, head, 6u, thread, own.beta * t.r6);
  store_t(chunk, head, 7u, thread, own.beta * t.r7);
  store_t(chunk, head, 8u, thread, own.beta * t.r8);
  store_t(chunk, head, 9u, thread, own.beta * t.r9);
  store_t(chunk, head, 10u, thread, own.beta * t.r10);
  store_t(chunk, head, 11u, thread, own.beta * t.r11);
  store_t(chunk, head, 12u, thread, own.beta * t.r12);
  store_t(chunk, head, 13u, thread, own.beta * t.r13);
  store_t(chunk, head, 14u, thread, own.beta * t.r14);
  store_t(chunk, head, 15u, thread, own.beta * t.r15);
  let last = subgroupBroadcast(own.sum.y, 7u); // rows past the end have g = 0
  store_factors(chunk, head, thread, first_row(own), last);
  store_factors(chunk, head, thread + 8u, second_row(own), last);
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (step.stopped != 0u) { return; }
  let block = find_block(id.x);
  if (block.segment == NONE) { return; }
  let segment = segments[block.segment];
  if (segment.row_count <= MOST_ROWS) { return; }
  let chunk = Chunk(segment.first_row + block.first, min(BLOCK_ROWS, segment.row_count - block.first));
  let query_at = id.y * (KEY_DIM / 4u);
  let key_at = query_at + KEY_HEADS * (KEY_DIM / 4u);
  var products = Products();
  var lengths = vec4<f32>(); // k.k of both rows, then q.q
  for (var n = 0u; n < KEY_DIM / 4u; n++) {
    let k0 = quad_of(chunk, thread, key_at + n);
    let k1 = quad_of(chunk, thread + 8u, key_at + n);
    let q0 = quad_of(chunk, thread, query_at + n);
    let q1 = quad_of(chunk, thread + 8u, query_at + n);
    lengths = vec4<f32>(
      dot_on(k0, k0, lengths.x), dot_on(k1, k1, lengths.y), dot_on(q0, q0, lengths.z), dot_on(q1, q1, lengths.w));
    products = add_quad(products, k0, k1, q0, q1);
  }
  let query_scale = inverseSqrt(f32(KEY_DIM));
  let scales = inverseSqrt(lengths + LENGTH_EPSILON) * vec4<f32>(1.0, 1.0, query_scale, query_scale);
  let heads = VALUE_HEADS / KEY_HEADS;
  for (var h = 0u; h < heads; h++) { prepare_head(chunk, id.y * heads + h, thread, scales, products); }
}
