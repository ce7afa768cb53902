// y[row, n] (+)= sum_k W[n, k] x[row, k] (matrix.wgsl); a workgroup makes OUTPUTS * 32 / LANES outputs of TILE rows (products.wgsl).
// Where x is scaled but not yet normed, squares f32 [rows, parts] has the rest of the norm (row_factor.wgsl).

@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read> squares: array<vec4<f32>>;

fn factor(tile_row: u32) -> f32 {
  return select(1.0, row_factors[tile_row], sizes.parts > 0u);
}

// Where four rows of x start; those past the end repeat the last one and are not stored.
fn x_rows(row: u32, rows: u32) -> vec4<u32> {
  return min(vec4<u32>(row, row + 1u, row + 2u, row + 3u), vec4<u32>(rows - 1u)) * sizes.x_stride + sizes.x_offset;
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let rows = select(step.rows, step.head_rows, sizes.head == 1u);
  let row0 = group.y * TILE;
  if (step.stopped != 0u || row0 >= rows) { return; }
  if (sizes.parts > 0u) { find_factors(row0, rows, TILE, sizes.parts, sizes.k, sizes.epsilon, thread); }
  let groups = THREADS / LANES;
  let units = sizes.k / 16u;
  let n = (group.x * groups + thread / LANES) * OUTPUTS;
  let n0 = four_rows(n);
  let n1 = four_rows(n + 4u);
  let n2 = four_rows(n + 8u);
  let n3 = four_rows(n + 12u);
  let across = (sizes.k + 127u) / 128u;
  let s0 = n0 / sizes.scale_rows * across;
  let s1 = n1 / sizes.scale_rows * across;
  let s2 = n2 / sizes.scale_rows * across;
  let s3 = n3 / sizes.scale_rows * across;
  let low = x_rows(row0, rows);
  let high = x_rows(row0 + 4u, rows);
  var sums0 = Sums();
  var sums1 = Sums();
  var sums2 = Sums();
  var sums3 = Sums();
  for (var unit = thread % LANES; unit < units; unit += LANES) {
    let inputs = load_inputs(low, high, unit);
    var scale = scales_of(s0, unit);
    sums0 = add_products(sums0, n0 * units + unit, scale, inputs);
    if (SHARING % OUTPUTS != 0u) { scale = scales_of(s1, unit); }
    sums1 = add_products(sums1, n1 * units + unit, scale, inputs);
    if (OUTPUTS > 8u) {
      if (SHARING % OUTPUTS != 0u) { scale = scales_of(s2, unit); }
      sums2 = add_products(sums2, n2 * units + unit, scale, inputs);
      if (SHARING % OUTPUTS != 0u) { scale = scales_of(s3, unit); }
      sums3 = add_products(sums3, n3 * units + unit, scale, inputs);
    }
  }
  keep(0u, thread, sums0);
  keep(1u, thread, sums1);
  if (OUTPUTS > 8u) {
    keep(2u, thread, sums2);
    keep(3u, thread, sums3);
  }
  workgroupBarrier();
  store(group.x, row0, rows, thread);
}
