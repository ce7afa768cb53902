// y[row, n] (+)= sum_k W[n, k] x[row, k] for many rows: a workgroup makes a tile of 32 rows and 64 outputs.
// codes [N, K / 16] units; scales BF16 [ceil(N / SCALE_ROWS), ceil(K / 128)]; x f32 at row * X_STRIDE + X_OFFSET; y alike.

override N: u32;
override K: u32;
override SCALE_ROWS: u32;
override X_STRIDE: u32;
override X_OFFSET: u32;
override Y_STRIDE: u32;
override Y_OFFSET: u32;
override ACCUMULATE: bool;
override HEAD: bool;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> codes: array<Codes>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn scale_of(row: u32, unit: u32) -> f32 {
  if (!SCALED) { return 1.0; }
  let index = row / SCALE_ROWS * ((K + 127u) / 128u) + unit / BLOCK_UNITS;
  return scale_value(scales[index / 2u], index);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let rows = select(step.rows, step.head_rows, HEAD);
  let row0 = group.y * TILE_ROWS;
  if (step.stopped != 0u || row0 >= rows) { return; }
  let n0 = group.x * TILE_OUTPUTS;
  let n = min(n0 + thread, N - 1u);
  let units = K / 16u;
  // Two of the tile's 128 quads of x a thread; rows past the end repeat the last one and are not stored.
  let from_a = (min(row0 + thread / 4u, rows - 1u) * X_STRIDE + X_OFFSET) / 4u + thread % 4u;
  let from_b = (min(row0 + 16u + thread / 4u, rows - 1u) * X_STRIDE + X_OFFSET) / 4u + thread % 4u;
  var sums = Sums();
  for (var unit = 0u; unit < units; unit++) {
    stage_weights(thread, decode(codes[n * units + unit]), scale_of(n, unit));
    stage_input(thread / 4u, thread % 4u, x[from_a + unit * 4u]);
    stage_input(16u + thread / 4u, thread % 4u, x[from_b + unit * 4u]);
    workgroupBarrier();
    sums = multiply_tiles(sums, thread);
    workgroupBarrier();
  }
  let row = row0 + thread / 8u;
  let output = n0 + thread % 8u;
  store(row, rows, output, sums.a0, sums.a1);
  store(row + 8u, rows, output, sums.b0, sums.b1);
  store(row + 16u, rows, output, sums.c0, sums.c1);
  store(row + 24u, rows, output, sums.d0, sums.d1);
}

fn store(row: u32, rows: u32, output: u32, low: vec4<f32>, high: vec4<f32>) {
  if (row >= rows) { return; }
  put(row, output, low.x);
  put(row, output + 8u, low.y);
  put(row, output + 16u, low.z);
  put(row, output + 24u, low.w);
  put(row, output + 32u, high.x);
  put(row, output + 40u, high.y);
  put(row, output + 48u, high.z);
  put(row, output + 56u, high.w);
}

fn put(row: u32, n: u32, value: f32) {
  if (n >= N) { return; }
  let at = row * Y_STRIDE + Y_OFFSET + n;
  if (ACCUMULATE) { y[at] += value; } else { y[at] = value; }
}
