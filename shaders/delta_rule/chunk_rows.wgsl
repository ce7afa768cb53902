// Sixteen rows of a chunk in a thread's registers, and what eight threads tell each other about them: the arithmetic of
// delta_scan_broadcast.wgsl, without its buffers.

// Four columns of the rows of a chunk.
struct Rows {
  r0: vec4<f32>, r1: vec4<f32>, r2: vec4<f32>, r3: vec4<f32>, r4: vec4<f32>, r5: vec4<f32>, r6: vec4<f32>, r7: vec4<f32>,
  r8: vec4<f32>, r9: vec4<f32>, r10: vec4<f32>, r11: vec4<f32>, r12: vec4<f32>, r13: vec4<f32>, r14: vec4<f32>, r15: vec4<f32>,
}

// Four neighbouring keys of four columns.
struct Keys { a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32> }

// sum + S^T w
fn add_read(sum: vec4<f32>, s: Keys, w: vec4<f32>) -> vec4<f32> {
  return fma(s.d, w.wwww, fma(s.c, w.zzzz, fma(s.b, w.yyyy, fma(s.a, w.xxxx, sum))));
}

// S + w d^T
fn add_write(s: Keys, w: vec4<f32>, d: vec4<f32>) -> Keys {
  return Keys(fma(d, w.xxxx, s.a), fma(d, w.yyyy, s.b), fma(d, w.zzzz, s.c), fma(d, w.wwww, s.d));
}

// The products of S with a quad of keys of all rows: this thread has that of its own number, and of 8 more.
fn add_reads(sums: Rows, s: Keys, low: vec4<f32>, high: vec4<f32>) -> Rows {
  return Rows(
    add_read(sums.r0, s, subgroupBroadcast(low, 0u)), add_read(sums.r1, s, subgroupBroadcast(low, 1u)),
    add_read(sums.r2, s, subgroupBroadcast(low, 2u)), add_read(sums.r3, s, subgroupBroadcast(low, 3u)),
    add_read(sums.r4, s, subgroupBroadcast(low, 4u)), add_read(sums.r5, s, subgroupBroadcast(low, 5u)),
    add_read(sums.r6, s, subgroupBroadcast(low, 6u)), add_read(sums.r7, s, subgroupBroadcast(low, 7u)),
    add_read(sums.r8, s, subgroupBroadcast(high, 0u)), add_read(sums.r9, s, subgroupBroadcast(high, 1u)),
    add_read(sums.r10, s, subgroupBroadcast(high, 2u)), add_read(sums.r11, s, subgroupBroadcast(high, 3u)),
    add_read(sums.r12, s, subgroupBroadcast(high, 4u)), add_read(sums.r13, s, subgroupBroadcast(high, 5u)),
    add_read(sums.r14, s, subgroupBroadcast(high, 6u)), add_read(sums.r15, s, subgroupBroadcast(high, 7u)));
}

fn add_writes(start: Keys, d: Rows, low: vec4<f32>, high: vec4<f32>) -> Keys {
  var s = start;
  s = add_write(s, subgroupBroadcast(low, 0u), d.r0);
  s = add_write(s, subgroupBroadcast(low, 1u), d.r1);
  s = add_write(s, subgroupBroadcast(low, 2u), d.r2);
  s = add_write(s, subgroupBroadcast(low, 3u), d.r3);
  s = add_write(s, subgroupBroadcast(low, 4u), d.r4);
  s = add_write(s, subgroupBroadcast(low, 5u), d.r5);
  s = add_write(s, subgroupBroadcast(low, 6u), d.r6);
  s = add_write(s, subgroupBroadcast(low, 7u), d.r7);
  s = add_write(s, subgroupBroadcast(high, 0u), d.r8);
  s = add_write(s, subgroupBroadcast(high, 1u), d.r9);
  s = add_write(s, subgroupBroadcast(high, 2u), d.r10);
  s = add_write(s, subgroupBroadcast(high, 3u), d.r11);
  s = add_write(s, subgroupBroadcast(high, 4u), d.r12);
  s = add_write(s, subgroupBroadcast(high, 5u), d.r13);
  s = add_write(s, subgroupBroadcast(high, 6u), d.r14);
  s = add_write(s, subgroupBroadcast(high, 7u), d.r15);
  return s;
}

fn add_four(sum: vec4<f32>, w: vec4<f32>, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>) -> vec4<f32> {
  return fma(d, w.wwww, fma(c, w.zzzz, fma(b, w.yyyy, fma(a, w.xxxx, sum))));
}

// sum + a row of T or P times the rows, given the row's sixteen coefficients.
fn add_mix(sum: vec4<f32>, a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32>, rows: Rows) -> vec4<f32> {
  var total = add_four(sum, a, rows.r0, rows.r1, rows.r2, rows.r3);
  total = add_four(total, b, rows.r4, rows.r5, rows.r6, rows.r7);
  total = add_four(total, c, rows.r8, rows.r9, rows.r10, rows.r11);
  return add_four(total, d, rows.r12, rows.r13, rows.r14, rows.r15);
}

// A row of T, of which threads 0 to 3 have a quad each, times the rows.
fn mix_t(coefficient: vec4<f32>, rows: Rows) -> vec4<f32> {
  return add_mix(
    vec4<f32>(),
    subgroupBroadcast(coefficient, 0u), subgroupBroadcast(coefficient, 1u),
    subgroupBroadcast(coefficient, 2u), subgroupBroadcast(coefficient, 3u), rows);
}

// sum + a row of P, of which threads 4 to 7 have a quad each, times the rows.
fn add_p(sum: vec4<f32>, coefficient: vec4<f32>, rows: Rows) -> vec4<f32> {
  return add_mix(
    sum,
    subgroupBroadcast(coefficient, 4u), subgroupBroadcast(coefficient, 5u),
    subgroupBroadcast(coefficient, 6u), subgroupBroadcast(coefficient, 7u), rows);
}

// D = T (V - diag(e^c) K S)
fn mix_writes(mixing: Rows, rest: Rows) -> Rows {
  return Rows(
    mix_t(mixing.r0, rest), mix_t(mixing.r1, rest), mix_t(mixing.r2, rest), mix_t(mixing.r3, rest),
    mix_t(mixing.r4, rest), mix_t(mixing.r5, rest), mix_t(mixing.r6, rest), mix_t(mixing.r7, rest),
    mix_t(mixing.r8, rest), mix_t(mixing.r9, rest), mix_t(mixing.r10, rest), mix_t(mixing.r11, rest),
    mix_t(mixing.r12, rest), mix_t(mixing.r13, rest), mix_t(mixing.r14, rest), mix_t(mixing.r15, rest));
}

// diag(e^(c_last - c) / |k|) D
fn decay(f: Rows, d: Rows) -> Rows {
  return Rows(
    f.r0.z * d.r0, f.r1.z * d.r1, f.r2.z * d.r2, f.r3.z * d.r3,
    f.r4.z * d.r4, f.r5.z * d.r5, f.r6.z * d.r6, f.r7.z * d.r7,
    f.r8.z * d.r8, f.r9.z * d.r9, f.r10.z * d.r10, f.r11.z * d.r11,
    f.r12.z * d.r12, f.r13.z * d.r13, f.r14.z * d.r14, f.r15.z * d.r15);
}
