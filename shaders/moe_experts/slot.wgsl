// Where an expert's weights lie in a chunk of the pool: units of `codes` and BF16 scales of `scales`, both the same
// buffer. Offsets are within a slot; see common/expert_layout.ts.

override HIDDEN: u32;
override DFF: u32;
override TOP_K: u32;
override FIRST_SLOT: u32;   // the chunk's first slot
override SLOTS: u32;        // slots in the chunk
override SLOT_UNITS: u32;
override SLOT_SCALES: u32;
override UP_UNITS: u32;
override DOWN_UNITS: u32;
override GATE_SCALES: u32;
override UP_SCALES: u32;
override DOWN_SCALES: u32;

// Whether the slot lies in this chunk; NONE never does.
fn in_chunk(slot: u32) -> bool {
  return slot >= FIRST_SLOT && slot - FIRST_SLOT < SLOTS;
}

// The scale of a row's unit, in a matrix with `across` scales a row that start at `first`.
fn scale_of(first: u32, across: u32, row: u32, unit: u32) -> f32 {
  if (!SCALED) { return 1.0; }
  let index = first + row / 128u * across + unit / BLOCK_UNITS;
  return scale_value(scales[index / 2u], index);
}
