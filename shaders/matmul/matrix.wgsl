// A matrix product's sizes, buffers and rows of W, for all its kernels: y[row, n] (+)= sum_k W[n, k] x[row, k].
// codes [n, k / 16] units; scales BF16 [ceil(n / scale_rows), ceil(k / 128)]; x f32 at row * x_stride + x_offset; y alike,
// at binding 4, which the kernel declares.
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
@group(0) @binding(5) var<uniform> sizes: Sizes;

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
