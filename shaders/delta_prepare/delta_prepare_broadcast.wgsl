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

// A quad of a row of the chunk; zeros past its end.
fn quad_of(chunk: Chunk, row: u32, at: u32) -> vec4<f32> {
  let stride = (2u * KEY_HEADS * KEY_DIM + VALUE_HEADS * VALUE_DIM) / 4u;
  let value = convolved[(chunk.first + min(row, chunk.count - 1u)) * stride + at];
  return select(vec4<f32>(), value, row < chunk.count);
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
