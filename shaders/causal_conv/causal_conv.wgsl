// y[t, c] = silu(sum_j weight[c, j] mixed[t - TAPS + 1 + j, c]), rows before the segment from the state slot.
// mixed [rows, STRIDE], of which the first CHANNELS columns; weight [CHANNELS, TAPS];
// state [slots, TAPS, CHANNELS], rings of inputs (ring.wgsl); y [rows, CHANNELS]; all f32.
// One thread convolves one channel of a block of 16 rows, with the last inputs in registers. Segments of fewer than
// FEWEST_ROWS rows are left out: delta_step convolves them itself.
// A segment's first block alone touches the state slots, each channel by one thread: so the slot to
// read may be the slot to write.

override CHANNELS: u32;
override STRIDE: u32;
override FEWEST_ROWS: u32;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> segments: array<Segment>;
@group(0) @binding(2) var<storage, read> mixed: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read_write> state: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;

// The channel's input at row t of the segment; t may lie up to three rows before it.
fn input_at(segment: Segment, channel: u32, t: i32) -> f32 {
  if (t >= 0) { return mixed[(segment.first_row + u32(t)) * STRIDE + channel]; }
  if (t + i32(TAPS) <= 0 || segment.state_read == NONE) { return 0.0; }
  return state[(segment.state_read * TAPS + ring_column(segment, t)) * CHANNELS + channel];
}

fn tap(channel: u32, back: u32) -> f32 {
  if (back >= TAPS) { return 0.0; }
  return weight[channel * TAPS + TAPS - 1u - back];
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let channel = id.x;
  if (step.stopped != 0u || channel >= CHANNELS) { return; }
  let block = find_block(id.y);
  if (block.segment == NONE) { return; }
  let segment = segments[block.segment];
  if (segment.row_count < FEWEST_ROWS) { return; }
  let end = min(block.first + BLOCK_ROWS, segment.row_count);
  let first = i32(block.first);
  var back3 = input_at(segment, channel, first - 3);
  var back2 = input_at(segment, channel, first - 2);
  var back1 = input_at(segment, channel, first - 1);
  if (block.first == 0u && segment.state_write != NONE) {
    let rows = i32(segment.row_count);
    for (var t = rows - i32(TAPS) + 1; t < rows; t++) {
      // In place, what lies before the segment is where it belongs.
      if (t < 0 && segment.state_read == segment.state_write) { continue; }
      let column = segment.state_write * TAPS + ring_column(segment, t);
      state[column * CHANNELS + channel] = input_at(segment, channel, t);
    }
  }
  let weight0 = tap(channel, 0u);
  let weight1 = tap(channel, 1u);
  let weight2 = tap(channel, 2u);
  let weight3 = tap(channel, 3u);
  for (var t = block.first; t < end; t++) {
    let row = segment.first_row + t;
    let now = mixed[row * STRIDE + channel];
    let sum = fma(weight3, back3, fma(weight2, back2, fma(weight1, back1, weight0 * now)));
    y[row * CHANNELS + channel] = silu(sum);
    back3 = back2;
    back2 = back1;
    back1 = now;
  }
}
