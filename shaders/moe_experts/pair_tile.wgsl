// Many rows: a workgroup works for a tile of up to 16 pairs of one expert (groups.wgsl).

@group(0) @binding(1) var<storage, read> groups: array<u32>;

// A count of 0: there is no such tile.
struct Tile {
  expert: u32,
  count: u32,
  list: u32, // where its pairs are in `groups`
}

// The index-th of this chunk.
fn find_tile(index: u32) -> Tile {
  var tile = index;
  if (sizes.chunk > 0u) { tile += groups[sizes.chunk - 1u]; }
  if (tile >= groups[sizes.chunk]) { return Tile(); }
  let at = tiles_at(tile);
  let expert = groups[at];
  return Tile(expert, groups[at + 2u], pairs_at(expert) + groups[at + 1u]);
}

// Pairs past `count` repeat the last one and are not stored.
fn pair_at(tile: Tile, place: u32) -> u32 {
  return groups[tile.list + min(place, tile.count - 1u)];
}
