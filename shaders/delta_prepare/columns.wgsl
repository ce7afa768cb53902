// Two columns of the matrices of a chunk in a thread's registers, and what eight threads tell each other about them: the
// arithmetic of delta_prepare_broadcast.wgsl, without its buffers.

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

fn dot_on(x: vec4<f32>, y: vec4<f32>, sum: f32) -> f32 {
  return fma(x.w, y.w, fma(x.z, y.z, fma(x.y, y.y, fma(x.x, y.x, sum))));
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
