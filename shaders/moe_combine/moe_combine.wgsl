// h[row] += sum over rank of weights[row, rank] routed[row, rank] + shared_gate[row] shared_out[row].
// routed f32 [rows, TOP_K, HIDDEN]; weights f32 [rows, TOP_K]; shared_out and h f32 [rows, HIDDEN]; shared_gate f32 [rows].
// Ranks are added in order, whenever their experts were computed. A workgroup makes 256 elements of one row.

override HIDDEN: u32;
override TOP_K: u32;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> routed: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read> shared_out: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> shared_gate: array<f32>;
@group(0) @binding(5) var<storage, read_write> h: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  let quad = group.x * 64u + lane;
  let quads = HIDDEN / 4u;
  if (step.stopped != 0u || row >= step.rows || quad >= quads) { return; }
  var sum = vec4<f32>(0.0);
  for (var rank = 0u; rank < TOP_K; rank++) {
    let pair = row * TOP_K + rank;
    sum = fma(vec4<f32>(weights[pair]), routed[pair * quads + quad], sum);
  }
  sum = fma(vec4<f32>(shared_gate[row]), shared_out[row * quads + quad], sum);
  h[row * quads + quad] += sum;
}
