// y[row] = table[ids[row] - FIRST_ID], for ids within FIRST_ID .. FIRST_ID + IDS; other rows are left alone.
// ids u32 [rows]; table BF16 [IDS, WIDTH]; y f32 [rows, WIDTH]. A workgroup copies 256 elements of one row.

override WIDTH: u32;
override FIRST_ID: u32;
override IDS: u32;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<vec2<u32>>;
@group(0) @binding(3) var<storage, read_write> y: array<vec4<f32>>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  let quad = group.x * 64u + lane;
  let quads = WIDTH / 4u;
  if (step.stopped != 0u || row >= step.rows || quad >= quads) { return; }
  let id = ids[row];
  if (id < FIRST_ID || id - FIRST_ID >= IDS) { return; }
  y[row * quads + quad] = decode_words(table[(id - FIRST_ID) * quads + quad]);
}
