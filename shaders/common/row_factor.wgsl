// The second half of an RMSNorm: 1 / rms of rows whose squares were summed in parts by the kernel that wrote them. The
// kernel that joins this text declares `squares`, f32 [rows, parts] as quads, and multiplies its sums by the factors. Parts
// beyond the last are zero: there are always whole quads.

override GATHERERS: u32;    // threads that add up the parts of a row: THREADS, or 1 where a barrier costs more than loads
override FACTOR_PARTS: u32; // THREADS a row of a workgroup

var<workgroup> square_parts: array<f32, FACTOR_PARTS>;
const MOST_FACTORS: u32 = 16u;

var<workgroup> row_factors: array<f32, MOST_FACTORS>;

fn sum_squares(row: u32, parts: u32, first: u32) -> f32 {
  var sum = vec4<f32>();
  for (var i = first; i < parts / 4u; i += GATHERERS) { sum += squares[row * (parts / 4u) + i]; }
  return (sum.x + sum.y) + (sum.z + sum.w);
}

// Finds the factors of `count` rows of `width` elements from row0 on; those past `rows` repeat the last one. They are
// there after the next barrier.
fn find_factors(row0: u32, rows: u32, count: u32, parts: u32, width: u32, epsilon: f32, thread: u32) {
  if (GATHERERS == 1u) {
    if (thread < count) {
      let sum = sum_squares(min(row0 + thread, rows - 1u), parts, 0u);
      row_factors[thread] = inverseSqrt(sum / f32(width) + epsilon);
    }
    return;
  }
  for (var place = 0u; place < count; place++) {
    square_parts[place * THREADS + thread] = sum_squares(min(row0 + place, rows - 1u), parts, thread);
  }
  workgroupBarrier();
  if (thread < count) {
    var sum = 0.0;
    for (var i = 0u; i < THREADS; i++) { sum += square_parts[thread * THREADS + i]; }
    row_factors[thread] = inverseSqrt(sum / f32(width) + epsilon);
  }
}
