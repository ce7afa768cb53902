// delta_scan.wgsl for subgroups of 8 threads on a CPU, where a load costs far more than a multiplication. A workgroup of
// 8 threads takes 32 columns (values) of one head through one segment: a thread has four columns of all sixteen rows of the
// chunk in registers. What all columns need, K, Q and the coefficients, eight threads load together and tell each other.

override KEY_HEADS: u32;
override VALUE_HEADS: u32;
override KEY_DIM: u32;
override VALUE_DIM: u32;
override MOST_ROWS: u32; // shorter segments are left to delta_step
override SLICE: u32;     // 8 KEY_DIM

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> segments: array<Segment>;
@group(0) @binding(2) var<storage, read> convolved: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> coefficients: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> state: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

var<workgroup> memory: array<vec4<f32>, SLICE>; // S [KEY_DIM, 8 threads]: no thread reads what another wrote

// Where the chunk's rows lie.
struct Chunk {
  first: u32,   // row of the step
  last: u32,    // row of the chunk: those after it are zero
  is_own: bool, // whether this thread's columns are its own: else it stores nothing
}

fn read_keys(n: u32, thread: u32) -> Keys {
  let at = n * 32u + thread;
  return Keys(memory[at], memory[at + 8u], memory[at + 16u], memory[at + 24u]);
}

// This thread's quad of T and P of a row, or with a quad of 8 the row's factors. A row past the end repeats the last one's:
// harmless, its key is zero and so is its column of P.
fn coefficient(chunk: Chunk, head: u32, row: u32, quad: u32) -> vec4<f32> {
  return coefficients[((chunk.first + min(row, chunk.last)) * VALUE_HEADS + head) * 9u + quad];
}

// A quad of a row of q, k or v at `at` of row 0; zeros past the end.
fn channel_quad(chunk: Chunk, row: u32, at: u32) -> vec4<f32> {
  let stride = (2u * KEY_HEADS * KEY_DIM + VALUE_HEADS * VALUE_DIM) / 4u;
  let value = convolved[(chunk.first + min(row, chunk.last)) * stride + at];
  return select(vec4<f32>(), value, row <= chunk.last);
}

fn store_row(chunk: Chunk, row: u32, at: u32, value: vec4<f32>) {
  if (chunk.is_own && row <= chunk.last) { out[(chunk.first + row) * (VALUE_HEADS * VALUE_DIM / 4u) + at] = value; }
}

// The factors of every row: e^c / |k|, e^c / |q| / sqrt(KEY_DIM), e^(c_last - c) / |k|, e^c_last.
fn factors_of(chunk: Chunk, head: u32, thread: u32) -> Rows {
  let low = coefficient(chunk, head, thread, 8u);
  let high = coefficient(chunk, head, thread + 8u, 8u);
  return Rows(
    subgroupBroadcast(low, 0u), subgroupBroadcast(low, 1u), subgroupBroadcast(low, 2u), subgroupBroadcast(low, 3u),
    subgroupBroadcast(low, 4u), subgroupBroadcast(low, 5u), subgroupBroadcast(low, 6u), subgroupBroadcast(low, 7u),
    subgroupBroadcast(high, 0u), subgroupBroadcast(high, 1u), subgroupBroadcast(high, 2u), subgroupBroadcast(high, 3u),
    subgroupBroadcast(high, 4u), subgroupBroadcast(high, 5u), subgroupBroadcast(high, 6u), subgroupBroadcast(high, 7u));
}

// This thread's quads of T and P of every row.
fn mixing_of(chunk: Chunk, head: u32, thread: u32) -> Rows {
  return Rows(
    coefficient(chunk, head, 0u, thread), coefficient(chunk, head, 1u, thread),
    coefficient(chunk, head, 2u, thread), coefficient(chunk, head, 3u, thread),
    coefficient(chunk, head, 4u, thread), coefficient(chunk, head, 5u, thread),
    coefficient(chunk, head, 6u, thread), coefficient(chunk, head, 7u, thread),
    coefficient(chunk, head, 8u, thread), coefficient(chunk, head, 9u, thread),
    coefficient(chunk, head, 10u, thread), coefficient(chunk, head, 11u, thread),
    coefficient(chunk, head, 12u, thread), coefficient(chunk, head, 13u, thread),
    coefficient(chunk, head, 14u, thread), coefficient(chunk, head, 15u, thread));
}

fn rest_at(chunk: Chunk, row: u32, at: u32, factors: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
  return fma(-factors.xxxx, sum, channel_quad(chunk, row, at));
}

// V - diag(e^c) K S
fn rest_of(chunk: Chunk, f: Rows, sums: Rows, at: u32) -> Rows {
  return Rows(
    rest_at(chunk, 0u, at, f.r0, sums.r0), rest_at(chunk, 1u, at, f.r1, sums.r1),
    rest_at(chunk, 2u, at, f.r2, sums.r2), rest_at(chunk, 3u, at, f.r3, sums.r3),
    rest_at(chunk, 4u, at, f.r4, sums.r4), rest_at(chunk, 5u, at, f.r5, sums.r5),
    rest_at(chunk, 6u, at, f.r6, sums.r6), rest_at(chunk, 7u, at, f.r7, sums.r7),
    rest_at(chunk, 8u, at, f.r8, sums.r8), rest_at(chunk, 9u, at, f.r9, sums.r9),
    rest_at(chunk, 10u, at, f.r10, sums.r10), rest_at(chunk, 11u, at, f.r11, sums.r11),
    rest_at(chunk, 12u, at, f.r12, sums.r12), rest_at(chunk, 13u, at, f.r13, sums.r13),
    rest_at(chunk, 14u, at, f.r14, sums.r14), rest_at(chunk, 15u, at, f.r15, sums.r15));
}

// out = diag(e^c) Q S + P D; all threads take part in the sums, whether they store or not.
fn store_rows(chunk: Chunk, at: u32, mixing: Rows, f: Rows, sums: Rows, d: Rows) {
  store_row(chunk, 0u, at, add_p(f.r0.y * sums.r0, mixing.r0, d));
  store_row(chunk, 1u, at, add_p(f.r1.y * sums.r1, mixing.r1, d));
  store_row(chunk, 2u, at, add_p(f.r2.y * sums.r2, mixing.r2, d));
  store_row(chunk, 3u, at, add_p(f.r3.y * sums.r3, mixing.r3, d));
  store_row(chunk, 4u, at, add_p(f.r4.y * sums.r4, mixing.r4, d));
  store_row(chunk, 5u, at, add_p(f.r5.y * sums.r5, mixing.r5, d));
  store_row(chunk, 6u, at, add_p(f.r6.y * sums.r6, mixing.r6, d));
  store_row(chunk, 7u, at, add_p(f.r7.y * sums.r7, mixing.r7, d));
  store_row(chunk, 8u, at, add_p(f.r8.y * sums.r8, mixing.r8, d));
  store_row(chunk, 9u, at, add_p(f.r9.y * sums.r9, mixing.r9, d));
  store_row(chunk, 10u, at, add_p(f.r10.y * sums.r10, mixing.r10, d));
  store_row(chunk, 11u, at, add_p(f.r11.y * sums.r11, mixing.r11, d));
  store_row(chunk, 12u, at, add_p(f.r12.y * sums.r12, mixing.r12, d));
  store_row(chunk, 13u, at, add_p(f.r13.y * sums.r13, mixing.r13, d));
  store_row(chunk, 14u, at, add_p(f.r14.y * sums.r14, mixing.r14, d));
  store_row(chunk, 15u, at, add_p(f.r15.y * sums.r15, mixing.r15, d));
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (step.stopped != 0u || id.z >= step.segments) { return; }
  let segment = segments[id.z];
  if (segment.row_count <= MOST_ROWS) { return; }
  let head = id.y;
  let quads = KEY_DIM / 4u;
  let value_quads = VALUE_DIM / 4u;
  // Threads past the last column repeat it and store nothing.
  let is_own = id.x * 8u + thread < value_quads;
  let column = min(id.x * 8u + thread, value_quads - 1u);
  let query_at = head / (VALUE_HEADS / KEY_HEADS) * quads;
  let key_at = query_at + KEY_HEADS * quads;
  let value_at = 2u * KEY_HEADS * quads + head * value_quads + column;
  let out_at = head * value_quads + column;
  let own = head * KEY_DIM * value_quads + column; // within a slot
  let slot_quads = VALUE_HEADS * KEY_DIM * value_quads;

  for (var key = 0u; key < KEY_DIM; key++) {
    var s = vec4<f32>();
    if (segment.state_read != NONE) { s = state[segment.state_read * slot_quads + own + key * value_quads]; }
    memory[key * 8u + thread] = s;
  }
  for (var start = 0u; start < segment.row_count; start += BLOCK_ROWS) {
    let chunk = Chunk(segment.first_row + start, min(BLOCK_ROWS, segment.row_count - start) - 1u, is_own);
    var key_sums = Rows();
    var query_sums = Rows();
    for (var n = 0u; n < quads; n++) {
      let s = read_keys(n, thread);
      key_sums = add_reads(
        key_sums, s, channel_quad(chunk, thread, key_at + n), channel_quad(chunk, thread + 8u, key_at + n));
      query_sums = add_reads(
        query_sums, s, channel_quad(chunk, thread, query_at + n), channel_quad(chunk, thread + 8u, query_at + n));
    }
    let factors = factors_of(chunk, head, thread);
    let mixing = mixing_of(chunk, head, thread);
    let d = mix_writes(mixing, rest_of(chunk, factors, key_sums, value_at));
    store_rows(chunk, out_at, mixing, factors, query_sums, d);
    let decayed = decay(factors, d);
    let fade = factors.r0.w;
    for (var n = 0u; n < quads; n++) {
      let before = read_keys(n, thread);
      let s = add_writes(
        Keys(fade * before.a, fade * before.b, fade * before.c, fade * before.d), decayed,
        channel_quad(chunk, thread, key_at + n), channel_quad(chunk, thread + 8u, key_at + n));
      let at = n * 32u + thread;
      memory[at] = s.a;
      memory[at + 8u] = s.b;
      memory[at + 16u] = s.c;
      memory[at + 24u] = s.d;
    }
  }
  if (segment.state_write != NONE && is_own) {
    for (var key = 0u; key < KEY_DIM; key++) {
      state[segment.state_write * slot_quads + own + key * value_quads] = memory[key * 8u + thread];
    }
  }
}
