// The pairs (row, rank) of a step by expert, in one u32 buffer (chunks.wgsl has MOST_CHUNKS):
//   [c]                         where the tiles of chunk c of the pool end; the first of all is tile 0
//   [tile_grid_at(c, op)]       the workgroups for them in x, y and z: of gate_up_tile.wgsl (op = 0) and down_tile.wgsl (op = 1)
//   [count_at(e)]               pairs of expert e
//   [tiles_at(t) ..]            tile t: its expert, its first place in that expert's list, and its number of pairs
//   [pairs_at(e) + j]           the j-th pair of expert e, ascending
// A tile is up to TILE_PAIRS pairs of one expert that has a slot.

const TILE_PAIRS: u32 = 16u;

fn tile_grid_at(chunk: u32, op: u32) -> u32 {
  return MOST_CHUNKS + (chunk * 2u + op) * 4u;
}

fn count_at(expert: u32) -> u32 {
  return MOST_CHUNKS * 9u + expert;
}

fn tiles_at(tile: u32) -> u32 {
  return count_at(sizes.experts) + 3u * tile;
}

fn pairs_at(expert: u32) -> u32 {
  return tiles_at(sizes.experts + sizes.capacity * sizes.top_k / TILE_PAIRS) + expert * sizes.capacity;
}
