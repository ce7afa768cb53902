// The tiles of a step of few rows, in one u32 buffer, eight words each:
//   [c]           where the tiles of chunk c of the pool end; those of the first begin with tile 0
//   [tile_at(t)]  tile t: its slot, its number of pairs, two unused, four pairs

const MOST_CHUNKS: u32 = 64u;

fn tile_at(tile: u32) -> u32 {
  return MOST_CHUNKS + tile * 8u;
}
