// gated_rms_norm.wgsl for subgroups of 8 threads on a CPU: one workgroup of 8 threads normalises up to 8 heads of one row, one
// after another. A thread has every eighth quad of a head, and none waits.

override HEADS: u32;
override WIDTH: u32;
override STRIDE: u32;
override OFFSET: u32;
override EPSILON: f32;
override MOST_ROWS: u32;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read> segments: array<Segment>;
@group(0) @binding(3) var<storage, read> gate: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> x: array<vec4<f32>>;

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = id.y;
  if (step.stopped != 0u || row >= step.rows) { return; }
  if (segments[rows[row].segment].row_count <= MOST_ROWS) { return; }
  let quads = WIDTH / 4u;
  for (var head = id.x * 8u; head < min(id.x * 8u + 8u, HEADS); head++) {
    let start = (row * HEADS + head) * quads;
    let gates = (row * STRIDE + OFFSET) / 4u + head * quads;
    var square = 0.0;
    for (var i = thread; i < quads; i += 8u) {
      let value = x[start + i];
      square += dot(value, value);
    }
    square += subgroupShuffleXor(square, 4u);
    square += subgroupShuffleXor(square, 2u);
    square += subgroupShuffleXor(square, 1u);
    let scale = inverseSqrt(square / f32(WIDTH) + EPSILON);
    for (var i = thread; i < quads; i += 8u) {
      let z = gate[gates + i];
      x[start + i] = x[start + i] * scale * weight[i] * vec4<f32>(silu(z.x), silu(z.y), silu(z.z), silu(z.w));
    }
  }
}
