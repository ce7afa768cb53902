// What delta_step.wgsl and delta_step_broadcast.wgsl are given, and what they do before the delta rule: the convolution of a segment's only row, and the gates.

override KEY_HEADS: u32;
override VALUE_HEADS: u32;
override KEY_DIM: u32;
override VALUE_DIM: u32;   // at least 32 in delta_step_broadcast.wgsl
override HIDDEN: u32;      // a multiple of 16
override PARTS: u32;       // of the squares of x; 0: x is normed in any step
override SCALED_ROWS: u32; // most rows of a step whose x is scaled
override EPSILON: f32;
override FEWEST_ROWS: u32; // of a segment: others are left to another instance of the kernel,
override MOST_ROWS: u32;   // or to the chunked ones
override THREADS: u32;     // of a workgroup
override GATE_PARTS: u32;  // KEY_DIM VALUE_DIM / 64: parts in which the gates are added up
override INPUTS: u32;      // (2 KEY_DIM + VALUE_DIM) / 4

const LENGTH_EPSILON: f32 = 1e-6;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> segments: array<Segment>;
@group(0) @binding(2) var<storage, read> mixed: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> convolved: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> conv_weight: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> gates: array<Codes>;
@group(0) @binding(7) var<storage, read> a_log: array<f32>;
@group(0) @binding(8) var<storage, read> dt_bias: array<f32>;
@group(0) @binding(9) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(10) var<storage, read_write> conv_state: array<vec4<f32>>;
@group(0) @binding(11) var<storage, read_write> state: array<vec4<f32>>;
@group(0) @binding(12) var<storage, read_write> out: array<vec4<f32>>;
@group(0) @binding(13) var<storage, read> squares: array<f32>;

var<workgroup> inputs: array<vec4<f32>, INPUTS>; // the head's q, k, v

// The input of a quad of channels `back` rows before the segment, zero where there was none.
fn past(segment: Segment, quad: u32, back: u32) -> vec4<f32> {
  if (back >= TAPS || segment.state_read == NONE) { return vec4<f32>(); }
  let column = segment.state_read * TAPS + ring_column(segment, -i32(back));
  return conv_state[column * channel_quads() + quad];
}

fn channel_quads() -> u32 {
  return (2u * KEY_HEADS * KEY_DIM + VALUE_HEADS * VALUE_DIM) / 4u;
}

// A quad of the convolution of a segment's only row; stores its input if it `owns` these channels.
fn convolve(segment: Segment, quad: u32, owns: bool) -> vec4<f32> {
  let now = mixed[segment.first_row * (channel_quads() + VALUE_HEADS * VALUE_DIM / 4u) + quad];
  let back1 = past(segment, quad, 1u);
  let back2 = past(segment, quad, 2u);
  let back3 = past(segment, quad, 3u);
  if (owns && segment.state_write != NONE) {
    let ring = segment.state_write * TAPS;
    conv_state[(ring + ring_column(segment, 0)) * channel_quads() + quad] = now;
    if (segment.state_read != segment.state_write) {
      if (TAPS > 2u) { conv_state[(ring + ring_column(segment, -1)) * channel_quads() + quad] = back1; }
      if (TAPS > 3u) { conv_state[(ring + ring_column(segment, -2)) * channel_quads() + quad] = back2; }
    }
  }
  let taps = taps_of(quad);
  let sum = fma(taps[3], back3, fma(taps[2], back2, fma(taps[1], back1, taps[0] * now)));
  return vec4<f32>(silu(sum.x), silu(sum.y), silu(sum.z), silu(sum.w));
}

// The place in a row of the i-th quad of the head's q, k, v.
fn channel_quad(head: u32, i: u32) -> u32 {
  let quads = KEY_DIM / 4u;
  if (i >= 2u * quads) { return (2u * KEY_HEADS - 2u) * quads + head * (VALUE_DIM / 4u) + i; } // v
  let key_head = head / (VALUE_HEADS / KEY_HEADS);
  return key_head * quads + i + select(0u, (KEY_HEADS - 1u) * quads, i >= quads);              // q, k
}

// Puts the head's q, k, v of a row where all threads find them.
fn load_inputs(segment: Segment, row: u32, head: u32, thread: u32) {
  let heads = VALUE_HEADS / KEY_HEADS; // that share a key
  for (var i = thread; i < INPUTS; i += THREADS) {
    let quad = channel_quad(head, i);
    if (MOST_ROWS > 1u) {
      inputs[i] = convolved[row * channel_quads() + quad];
    } else {
      inputs[i] = convolve(segment, quad, i >= KEY_DIM / 2u || head % heads == 0u);
    }
  }
}

// Whether x is scaled but not yet normed: in steps of few rows.
fn is_scaled() -> bool {
  return PARTS > 0u && step.rows <= SCALED_ROWS;
}

// Part number `index` of the head's b and a, and of the squares of x.
fn gate_part(row: u32, head: u32, index: u32) -> vec3<f32> {
  let units = HIDDEN / 16u;
  var part = vec3<f32>();
  for (var unit = index; unit < units; unit += GATE_PARTS) {
    let at = (row * units + unit) * 4u;
    let input = Unit(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
    part += vec3<f32>(
      dot_unit(decode(gates[head * units + unit]), input),
      dot_unit(decode(gates[(VALUE_HEADS + head) * units + unit]), input),
      0.0);
  }
  if (is_scaled()) {
    for (var i = index; i < PARTS; i += GATE_PARTS) { part.z += squares[row * PARTS + i]; }
  }
  return part;
}
