// h[row] += sum over rank of weights[row, rank] outputs[row, rank].
// outputs f32 [rows, RANKS, HIDDEN]; weights f32 [rows, RANKS]; h f32 [rows, HIDDEN].
// Ranks are added in order, whenever their experts were computed. A workgroup makes 256 elements of one row.

override HIDDEN: u32;
override RANKS: u32;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> outputs: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  let quad = group.x * 64u + lane;
  let quads = HIDDEN / 4u;
  if (step.stopped != 0u || row >= step.rows || quad >= quads) { return; }
  var sum = vec4<f32>(0.0);
  for (var rank = 0u; rank < RANKS; rank++) {
    let pair = row * RANKS + rank;
    sum = fma(vec4<f32>(weights[pair]), outputs[pair * quads + quad], sum);
  }
  h[row * quads + quad] += sum;
}
