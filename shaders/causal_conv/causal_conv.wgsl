// y[t, c] = silu(sum_j weight[c, j] mixed[t - TAPS + 1 + j, c]), rows before the segment from the state slot.
// mixed [rows, STRIDE], of which the first CHANNELS columns; weight [CHANNELS, TAPS];
// state [slots, TAPS, CHANNELS], rings of inputs (ring.wgsl); y [rows, CHANNELS]; all f32.
// One thread convolves four channels of a block of 16 rows, with the last inputs in registers. Segments of fewer than
// FEWEST_ROWS rows are left out: delta_step convolves them itself.
// A segment's first block alone touches the state slots, each channel by one thread: so the slot to
// read may be the slot to write.

override CHANNELS: u32; // a multiple of 4
override STRIDE: u32;   // a multiple of 4
override FEWEST_ROWS: u32;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> segments: array<Segment>;
@group(0) @binding(2) var<storage, read> mixed: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> conv_weight: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> state: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<vec4<f32>>;

// The channels' input at row t of the segment; t may lie up to three rows before it.
fn input_at(segment: Segment, quad: u32, t: i32) -> vec4<f32> {
  if (t >= 0) { return mixed[(segment.first_row + u32(t)) * (STRIDE / 4u) + quad]; }
  if (t + i32(TAPS) <= 0 || segment.state_read == NONE) { return vec4<f32>(); }
  return state[(segment.state_read * TAPS + ring_column(segment, t)) * (CHANNELS / 4u) + quad];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let quad = id.x;
  let quads = CHANNELS / 4u;
  if (step.stopped != 0u || quad >= quads) { return; }
  let block = find_block(id.y);
  if (block.segment == NONE) { return; }
  let segment = segments[block.segment];
  if (segment.row_count < FEWEST_ROWS) { return; }
  let end = min(block.first + BLOCK_ROWS, segment.row_count);
  let first = i32(block.first);
  var back3 = input_at(segment, quad, first - 3);
  var back2 = input_at(segment, quad, first - 2);
  var back1 = input_at(segment, quad, first - 1);
  if (block.first == 0u && segment.state_write != NONE) {
    let rows = i32(segment.row_count);
    for (var t = rows - i32(TAPS) + 1; t < rows; t++) {
      // In place, what lies before the segment is where it belongs.
      if (t < 0 && segment.state_read == segment.state_write) { continue; }
      let column = segment.state_write * TAPS + ring_column(segment, t);
      state[column * quads + quad] = input_at(segment, quad, t);
    }
  }
  let taps = taps_of(quad);
  for (var t = block.first; t < end; t++) {
    let row = segment.first_row + t;
    let now = mixed[row * (STRIDE / 4u) + quad];
    let sum = fma(taps[3], back3, fma(taps[2], back2, fma(taps[1], back1, taps[0] * now)));
    y[row * quads + quad] = vec4<f32>(silu(sum.x), silu(sum.y), silu(sum.z), silu(sum.w));
    back3 = back2;
    back2 = back1;
    back1 = now;
  }
}
