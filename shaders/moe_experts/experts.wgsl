// What the kernels of the experts share: their expert's slot.

// Whether the slot lies in this chunk of the pool; NONE never does.
fn in_chunk(slot: u32) -> bool {
  return slot >= sizes.first_slot && slot - sizes.first_slot < sizes.slots;
}

// The scale of a unit, in a row of scales that starts at `first`.
fn unit_scale(first: u32, unit: u32) -> vec4<f32> {
  if (!SCALED) { return vec4<f32>(1.0); }
  let index = first + unit / BLOCK_UNITS;
  return vec4<f32>(scale_value(scales[index / 2u], index));
}
