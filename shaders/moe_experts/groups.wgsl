// The pairs (row, rank) of a step by expert, in one u32 buffer:
//   [0]                         how many tiles there are
//   [COUNTS + e]                pairs of expert e
//   [TILES + 3 t ..]            tile t: its expert, its first place in that expert's list, and its number of pairs
//   [PAIRS + e * CAPACITY + j]  the j-th pair of expert e, ascending
// A tile is up to 32 pairs of one expert that has a slot. CAPACITY is the largest number of rows: a row takes an expert once.

override EXPERTS: u32;
override CAPACITY: u32;

const TILE_PAIRS: u32 = 32u;
const COUNTS: u32 = 1u;

fn tiles_at(tile: u32) -> u32 {
  return COUNTS + EXPERTS + 3u * tile;
}

fn pairs_at(expert: u32) -> u32 {
  return tiles_at(EXPERTS + CAPACITY * TOP_K / TILE_PAIRS) + expert * CAPACITY;
}
