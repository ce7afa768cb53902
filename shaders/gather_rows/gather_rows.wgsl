// y[i] = x[heads[i]] for the head's rows: x f32 [rows, WIDTH], heads u32 [head_rows], y f32 [head_rows, WIDTH].
// A workgroup copies 256 elements of one row.

override WIDTH: u32;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> heads: array<u32>;
@group(0) @binding(2) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  let quad = group.x * 64u + lane;
  let quads = WIDTH / 4u;
  if (step.stopped != 0u || row >= step.head_rows || quad >= quads) { return; }
  y[row * quads + quad] = x[heads[row] * quads + quad];
}
