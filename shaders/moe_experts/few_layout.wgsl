// The tiles of a step of few rows, in one u32 buffer (chunks.wgsl has MOST_CHUNKS):
//   [2 c + s]             where the tiles of chunk c of the pool end: those of one pair (s = 0), then those of several (s = 1);
//                         the first of all is tile 0
//   [grid_at(c, s, op)]   the workgroups for them in x, y and z: of few_gate_up.wgsl (op = 0) and few_down.wgsl (op = 1)
//   [tile_at(t)]          tile t: its slot, its number of pairs, two unused, four pairs

fn grid_at(chunk: u32, several: u32, op: u32) -> u32 {
  return MOST_CHUNKS * 2u + ((chunk * 2u + several) * 2u + op) * 4u;
}

fn tile_at(tile: u32) -> u32 {
  return MOST_CHUNKS * 18u + tile * 8u;
}
