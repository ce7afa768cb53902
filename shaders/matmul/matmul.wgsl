// y[row, n] (+)= sum_k W[n, k] x[row, k]; a workgroup makes OUTPUTS * 32 / LANES outputs of TILE rows (products.wgsl).
// codes [n, k / 16] units; scales BF16 [ceil(n / scale_rows), ceil(k / 128)]; x f32 at row * x_stride + x_offset; y alike.
// Where x is scaled but not yet normed, squares f32 [rows, parts] has the rest of the norm (row_factor.wgsl).
// Sizes are data, not constants: all matrices of a format share their pipelines.

override SHARING: u32; // rows of W from a multiple of it on that share their scales: a divisor of scale_rows, at most 16

struct Sizes {
  n: u32,
  k: u32,
  x_stride: u32, // of x in quads, of y in elements
  x_offset: u32,
  y_stride: u32,
  y_offset: u32,
  accumulate: u32, // 1: add to y
  head: u32,       // 1: the rows are those of the head
  scale_rows: u32,
  parts: u32,      // of `squares`; 0: x is not to be divided by anything
  epsilon: f32,
  next_parts: u32, // of the squares that store_residual.wgsl sums
}

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> codes: array<Codes>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(5) var<uniform> sizes: Sizes;
@group(0) @binding(6) var<storage, read> squares: array<vec4<f32>>;

fn factor(tile_row: u32) -> f32 {
  return select(1.0, row_factors[tile_row], sizes.parts > 0u);
}

// The scales of a unit of four rows whose scales start at `first`.
fn scales_of(first: vec4<u32>, unit: u32) -> vec4<f32> {
  if (!SCALED) { return vec4<f32>(1.0); }
  let at = first + unit / BLOCK_UNITS;
  let one = scale_value(scales[at.x / 2u], at.x);
  if (SHARING % 4u == 0u) { return vec4<f32>(one); }
  return vec4<f32>(
    one,
    scale_value(scales[at.y / 2u], at.y),
    scale_value(scales[at.z / 2u], at.z),
    scale_value(scales[at.w / 2u], at.w));
}

// Four rows from n on; those past the end repeat the last one and are not stored.
fn four_rows(n: u32) -> vec4<u32> {
  return min(vec4<u32>(n, n + 1u, n + 2u, n + 3u), vec4<u32>(sizes.n - 1u));
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
