// The pairs (row, rank) of a step by expert, in one u32 buffer:
//   [0]                         how many tiles there are
//   [1 + e]                     pairs of expert e
//   [tiles_at(t) ..]            tile t: its expert, its first place in that expert's list, and its number of pairs
//   [pairs_at(e) + j]           the j-th pair of expert e, ascending
// A tile is up to TILE_PAIRS pairs of one expert that has a slot.

const TILE_PAIRS: u32 = 16u;

fn count_at(expert: u32) -> u32 {
  return 1u + expert;
}

fn tiles_at(tile: u32) -> u32 {
  return 1u + sizes.experts + 3u * tile;
}

fn pairs_at(expert: u32) -> u32 {
  return tiles_at(sizes.experts + sizes.capacity * sizes.top_k / TILE_PAIRS) + expert * sizes.capacity;
}
