// y[row, n] (+)= sum_k W[n, k] x[row, k] for a few rows: each weight is read once for TILE rows of x.
// codes [N, K / 16] units; scales BF16 [ceil(N / SCALE_ROWS), ceil(K / 128)]; x f32 at row * X_STRIDE + X_OFFSET; y alike.
// A workgroup makes 256 / LANES outputs of TILE rows: each group of LANES lanes has 4 outputs, a lane every LANES-th unit of them.
// Every sum has one order, whatever TILE is: a row has the same bits alone and among others.

override N: u32;
override K: u32;
override SCALE_ROWS: u32;
override X_STRIDE: u32;
override X_OFFSET: u32;
override Y_STRIDE: u32;
override Y_OFFSET: u32;
override ACCUMULATE: bool;
override HEAD: bool;
override LANES: u32;
override TILE: u32; // 1 or 4

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> codes: array<Codes>;
@group(0) @binding(2) var<storage, read> scales: array<u32>;
@group(0) @binding(3) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> y: array<f32>;

var<workgroup> partial: array<vec4<f32>, 256>; // [TILE, 64]: four outputs of each lane

fn scale_of(row: u32, unit: u32) -> f32 {
  let index = row / SCALE_ROWS * ((K + 127u) / 128u) + unit / BLOCK_UNITS;
  return scale_value(scales[index / 2u], index);
}

fn scales_of(rows: vec4<u32>, unit: u32) -> vec4<f32> {
  if (!SCALED) { return vec4<f32>(1.0); }
  let first = scale_of(rows.x, unit);
  if (SCALE_ROWS % 4u == 0u) { return vec4<f32>(first); }
  return vec4<f32>(first, scale_of(rows.y, unit), scale_of(rows.z, unit), scale_of(rows.w, unit));
}

fn input(row: u32, unit: u32) -> Unit {
  let at = (row * X_STRIDE + X_OFFSET) / 4u + unit * 4u;
  return Unit(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
}

fn dots(w0: Unit, w1: Unit, w2: Unit, w3: Unit, input: Unit) -> vec4<f32> {
  return vec4<f32>(dot_unit(w0, input), dot_unit(w1, input), dot_unit(w2, input), dot_unit(w3, input));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let rows = select(step.rows, step.head_rows, HEAD);
  let row0 = group.y * TILE;
  if (step.stopped != 0u || row0 >= rows) { return; }
  let lane = thread % LANES;
  let n0 = (group.x * (64u / LANES) + thread / LANES) * 4u;
  let n = min(vec4<u32>(n0, n0 + 1u, n0 + 2u, n0 + 3u), vec4<u32>(N - 1u));
  let r = min(vec4<u32>(row0, row0 + 1u, row0 + 2u, row0 + 3u), vec4<u32>(rows - 1u));
  let units = K / 16u;
  let at = n * units;
  var sum0 = vec4<f32>(0.0);
  var sum1 = vec4<f32>(0.0);
  var sum2 = vec4<f32>(0.0);
  var sum3 = vec4<f32>(0.0);
  for (var unit = lane; unit < units; unit += LANES) {
    let w0 = decode(codes[at.x + unit]);
    let w1 = decode(codes[at.y + unit]);
    let w2 = decode(codes[at.z + unit]);
    let w3 = decode(codes[at.w + unit]);
    let scale = scales_of(n, unit);
    sum0 = fma(dots(w0, w1, w2, w3, input(r.x, unit)), scale, sum0);
    if (TILE > 1u) {
      sum1 = fma(dots(w0, w1, w2, w3, input(r.y, unit)), scale, sum1);
      sum2 = fma(dots(w0, w1, w2, w3, input(r.z, unit)), scale, sum2);
      sum3 = fma(dots(w0, w1, w2, w3, input(r.w, unit)), scale, sum3);
    }
  }
  partial[thread] = sum0;
  if (TILE > 1u) {
    partial[64u + thread] = sum1;
    partial[128u + thread] = sum2;
    partial[192u + thread] = sum3;
  }
  workgroupBarrier();
  let tile_row = thread / (64u / LANES);
  if (tile_row >= TILE || row0 + tile_row >= rows) { return; }
  let part = thread % (64u / LANES);
  var total = vec4<f32>(0.0);
  for (var i = 0u; i < LANES; i++) { total += partial[tile_row * 64u + part * LANES + i]; }
  store(row0 + tile_row, (group.x * (64u / LANES) + part) * 4u, total);
}

fn store(row: u32, n: u32, value: vec4<f32>) {
  put(row, n, value.x);
  put(row, n + 1u, value.y);
  put(row, n + 2u, value.z);
  put(row, n + 3u, value.w);
}

fn put(row: u32, n: u32, value: f32) {
  if (n >= N) { return; }
  let at = row * Y_STRIDE + Y_OFFSET + n;
  if (ACCUMULATE) { y[at] += value; } else { y[at] = value; }
}
