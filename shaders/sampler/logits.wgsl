// Bindings of the kernels that read logits, and the logit after penalties and bias.
// logits [head rows, V] f32; counts [slots, V]: tokens generated, bit 31: in the prompt; bias [slots, V] f32.

override V: u32;
override BLOCKS: u32; // ceil(V / 2048)

const IN_PROMPT: u32 = 0x80000000u;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read> segments: array<Segment>;
@group(0) @binding(3) var<storage, read> heads: array<u32>;
@group(0) @binding(4) var<storage, read> options: array<Options>;
@group(0) @binding(5) var<storage, read> logits: array<f32>;
@group(0) @binding(6) var<storage, read> counts: array<u32>;
@group(0) @binding(7) var<storage, read> bias: array<f32>;

fn slot_of(head_row: u32) -> u32 {
  return segments[rows[heads[head_row]].segment].sampler;
}

// `flags` are the slot's: the tables are not even read without them.
fn adjusted(raw: f32, slot: u32, id: u32, flags: u32) -> f32 {
  var x = raw;
  if ((flags & PENALISED) != 0u) {
    let seen = counts[slot * V + id];
    if (seen != 0u) {
      x = select(x * options[slot].repetition, x / options[slot].repetition, x > 0.0);
      let generated = seen & ~IN_PROMPT;
      x -= options[slot].frequency * f32(generated) + select(0.0, options[slot].presence, generated != 0u);
    }
  }
  if ((flags & BIASED) != 0u) { x += bias[slot * V + id]; }
  return x;
}
