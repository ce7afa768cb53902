// Zero-centred RMSNorm: y = x / sqrt(mean(x^2) + EPSILON) * (1 + weight)   (model.md: arXiv:1910.07467, weights stored as w - 1)
// x [rows, WIDTH], weight [WIDTH], y [rows, WIDTH]; all f32. One workgroup normalises one row.

override WIDTH: u32;
override EPSILON: f32;
override HEAD: u32;  // 1: the rows are those of the head

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

var<workgroup> partial: array<f32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  if (step.stopped != 0u || row >= select(step.rows, step.head_rows, HEAD == 1u)) { return; }
  let quads = WIDTH / 4u;
  var sum = 0.0;
  for (var i = lane; i < quads; i += 64u) {
    let v = x[row * quads + i];
    sum += dot(v, v);
  }
  partial[lane] = sum;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (lane < half) { partial[lane] += partial[lane + half]; }
    workgroupBarrier();
  }
  let scale = inverseSqrt(partial[0] / f32(WIDTH) + EPSILON);
  for (var i = lane; i < quads; i += 64u) {
    y[row * quads + i] = x[row * quads + i] * scale * (1.0 + weight[i]);
  }
}
