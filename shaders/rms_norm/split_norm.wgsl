// The first half of an RMSNorm of few rows (row_factor.wgsl has the second): scaled = x (1 + weight), and squares
// [rows, PARTS], the sums of x^2 over BLOCK columns each, then zeros up to whole quads. x, scaled f32 [rows, WIDTH]. For rows
// that come from no product: those that do are scaled by the kernel of the product. A thread has one block of one row.

override WIDTH: u32;
override BLOCK: u32; // columns: a multiple of 4
override PARTS: u32; // a multiple of 4

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> scaled: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> squares: array<f32>;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let part = id.x;
  let row = id.y;
  if (step.stopped != 0u || row >= step.rows || part >= PARTS) { return; }
  let quads = WIDTH / 4u;
  var square = 0.0;
  for (var quad = part * (BLOCK / 4u); quad < min((part + 1u) * (BLOCK / 4u), quads); quad++) {
    let value = x[row * quads + quad];
    scaled[row * quads + quad] = value * (1.0 + weight[quad]);
    square += dot(value, value);
  }
  squares[row * PARTS + part] = square;
}
