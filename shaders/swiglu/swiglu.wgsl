// y = silu(gate) * up of rows [gate | up]: x f32 [rows, 2 DFF], y f32 [rows, DFF].
// A workgroup makes 256 elements of one row.

override DFF: u32;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  let quad = group.x * 64u + lane;
  let quads = DFF / 4u;
  if (step.stopped != 0u || row >= step.rows || quad >= quads) { return; }
  let gate = x[row * quads * 2u + quad];
  let up = x[row * quads * 2u + quads + quad];
  y[row * quads + quad] = vec4<f32>(silu(gate.x), silu(gate.y), silu(gate.z), silu(gate.w)) * up;
}
