// Joins the splits of decode.wgsl in their order and applies the gate:
//   out = sum(exp(most_s - most) sums_s) / sum(exp(most_s - most) total_s) * sigmoid(gate)
// sums [rows, SPLITS, HEADS, D], totals [rows, SPLITS, HEADS]; qkv [rows, 2 (HEADS + KV_HEADS) D]: per head query then gate.
// out [rows, HEADS, D] f32. A thread joins one quad of elements (x) of one row (y). No infinity arises: see silu.wgsl.

override HEADS: u32;
override KV_HEADS: u32;
override D: u32;
override SPLITS: u32;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> sums: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> totals: array<vec2<f32>>;
@group(0) @binding(5) var<storage, read_write> out: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  let quads = D / 4u;
  let i = group.x * 64u + lane;
  if (step.stopped != 0u || row >= step.rows || i >= HEADS * quads) { return; }
  let head = i / quads;
  let context = rows[row].cache_index + 1u;
  let split = split_tokens(context);
  let count = (context + split - 1u) / split;
  let first = row * SPLITS * HEADS + head;
  var most = totals[first].x;
  for (var s = 1u; s < count; s++) { most = max(most, totals[first + s * HEADS].x); }
  var sum = vec4(0.0);
  var total = 0.0;
  for (var s = 0u; s < count; s++) {
    let part = totals[first + s * HEADS];
    let weight = exp(part.x - most);
    total += weight * part.y;
    sum += weight * sums[(first + s * HEADS) * quads + i % quads];
  }
  let gate = qkv[row * 2u * (HEADS + KV_HEADS) * quads + head * 2u * quads + quads + i % quads];
  out[row * HEADS * quads + i] = sum / total / (1.0 + exp(min(-gate, vec4(80.0))));
}
