// What gate_up.wgsl and down.wgsl share: the pairs that a workgroup works for, and their expert's slot.

// Pairs past `count` repeat the last one and are not stored; a count of 0: nothing to do.
struct PairTile {
  expert: u32,
  count: u32,
  low: vec4<u32>,  // pairs 0 to 3
  high: vec4<u32>, // pairs 4 to 7
}

fn pair_of(tile: PairTile, i: u32) -> u32 {
  return select(tile.low[i % 4u], tile.high[i % 4u], i >= 4u);
}

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
