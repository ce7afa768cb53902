// Sizes of the experts and where their weights lie in a chunk of the pool: units of `codes` and BF16 scales of
// `scales`, both the same buffer; offsets are within a slot, see common/expert_layout.ts. They are data, not
// constants: all models share the pipelines.

struct Sizes {
  hidden: u32,
  dff: u32,
  top_k: u32,
  experts: u32,
  capacity: u32,   // largest number of rows: a row takes an expert once
  first_slot: u32, // the chunk's first slot
  slots: u32,      // slots in the chunk
  slot_units: u32,
  slot_scales: u32,
  gate_units: u32,
  up_units: u32,
  down_units: u32,
  gate_scales: u32,
  up_scales: u32,
  down_scales: u32,
  last_chunk: u32, // 1: no chunk of the pool follows
  parts: u32,      // of the squares of x; 0: x is not to be divided by anything
  epsilon: f32,
  next_parts: u32, // of the squares that down_sum.wgsl and few_sum.wgsl sum
  chunk: u32,      // the chunk's place in the pool
}
