// Gated RMSNorm, in place: x = x / sqrt(mean(x^2) + EPSILON) * weight * silu(z) over each head's WIDTH values.
// x [rows, HEADS, WIDTH]; z: HEADS * WIDTH columns of gate [rows, STRIDE] from column OFFSET; weight [WIDTH], a
// plain factor; all f32. One workgroup normalises one head of one row; rows of segments of up to MOST_ROWS
// rows are left as they are, because delta_step has normalised them.

override HEADS: u32;
override WIDTH: u32;
override STRIDE: u32;
override OFFSET: u32;
override EPSILON: f32;
override MOST_ROWS: u32;
override THREADS: u32; // WIDTH / 4

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read> segments: array<Segment>;
@group(0) @binding(3) var<storage, read> gate: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> weight: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> x: array<vec4<f32>>;

var<workgroup> squares: array<f32, THREADS>;

@compute @workgroup_size(THREADS)
fn main(@builtin(workgroup_id) id: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let head = id.x;
  let row = id.y;
  if (step.stopped != 0u || row >= step.rows) { return; }
  if (segments[rows[row].segment].row_count <= MOST_ROWS) { return; }
  let quads = WIDTH / 4u;
  let at = (row * HEADS + head) * quads + lane;
  let value = x[at];
  squares[lane] = dot(value, value);
  workgroupBarrier();
  var square = 0.0;
  for (var l = 0u; l < quads; l++) { square += squares[l]; }
  let scale = inverseSqrt(square / f32(WIDTH) + EPSILON);
  let z = gate[(row * STRIDE + OFFSET) / 4u + head * quads + lane];
  x[at] = value * scale * weight[lane] * vec4<f32>(silu(z.x), silu(z.y), silu(z.z), silu(z.w));
}
