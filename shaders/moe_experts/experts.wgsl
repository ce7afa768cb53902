// What the kernels of the experts share: their expert's slot.

// Whether the slot lies in this chunk of the pool; NONE never does.
fn in_chunk(slot: u32) -> bool {
  return slot >= sizes.first_slot && slot - sizes.first_slot < sizes.slots;
}

// The scale of a row's unit, in a matrix with `across` scales a row that start at `first`.
fn scale_of(first: u32, across: u32, row: u32, unit: u32) -> vec4<f32> {
  if (!SCALED) { return vec4<f32>(1.0); }
  let index = first + row / 128u * across + unit / BLOCK_UNITS;
  return vec4<f32>(scale_value(scales[index / 2u], index));
}
