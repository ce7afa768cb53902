// Many rows: a workgroup works for a tile of up to 16 pairs of one expert (groups.wgsl).

@group(0) @binding(1) var<storage, read> groups: array<u32>;

// A count of 0: there is no such tile.
struct Tile {
  expert: u32,
  count: u32,
  list: u32, // where its pairs are in `groups`
}

fn find_tile(index: u32) -> Tile {
  if (index >= groups[0]) { return Tile(); }
  let tile = tiles_at(index);
  let expert = groups[tile];
  return Tile(expert, groups[tile + 2u], pairs_at(expert) + groups[tile + 1u]);
}

// Pairs past `count` repeat the last one and are not stored.
fn pair_at(tile: Tile, place: u32) -> u32 {
  return groups[tile.list + min(place, tile.count - 1u)];
}
