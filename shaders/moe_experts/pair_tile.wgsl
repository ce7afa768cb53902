// Many rows: a workgroup works for a tile of up to 16 pairs of one expert (groups.wgsl).

@group(0) @binding(1) var<storage, read> groups: array<u32>;

// A count of 0: there is no such tile.
struct Tile {
  expert: u32,
  count: u32,
  list: u32, // where its pairs are in `groups`
}

// The index-th of this chunk; none in a step that was stopped.
fn find_tile(index: u32) -> Tile {
  // A branch at a uniform alone would have Mesa's CPU driver compile the kernel anew at every dispatch.
  let tile = index + select(groups[max(sizes.chunk, 1u) - 1u], 0u, sizes.chunk == 0u);
  let is_there = tile < groups[sizes.chunk] && step.stopped == 0u;
  let at = tiles_at(select(0u, tile, is_there));
  let expert = groups[at];
  return Tile(expert, select(0u, groups[at + 2u], is_there), pairs_at(expert) + groups[at + 1u]);
}

// Pairs past `count` repeat the last one and are not stored.
fn pair_at(tile: Tile, place: u32) -> u32 {
  return groups[tile.list + min(place, max(tile.count, 1u) - 1u)];
}

// How many units are multiplied for up to two pairs, up to four, up to eight, and more: of a tile in one of these ways.
fn ends_of(tile: Tile, units: u32) -> vec4<u32> {
  let more = vec4<u32>(tile.count) > vec4<u32>(0u, 2u, 4u, 8u);
  let enough = vec4<u32>(tile.count) <= vec4<u32>(2u, 4u, 8u, 16u);
  return select(vec4<u32>(), vec4<u32>(units), more & enough);
}

// The products of `units` units of these rows with the rows of x; the kernel declares Rows, and load_block of one unit.
fn tile_sums(tile: Tile, rows: Rows, source: Source, units: u32) -> TileSums {
  // Of four loops one has something to do; none is inside another or a branch, where CPUs that run shaders pay for every load.
  let ends = ends_of(tile, units);
  var sums = TileSums();
  for (var unit = 0u; unit < ends.x; unit++) {
    let inputs = next_two(source, unit, units);
    sums = add_two(sums, load_block(rows, unit), inputs);
  }
  for (var unit = 0u; unit < ends.y; unit++) {
    let inputs = next_quarter(source, unit, units);
    sums = add_quarter(sums, load_block(rows, unit), inputs);
  }
  for (var unit = 0u; unit < ends.z; unit++) {
    let inputs = next_half(source, unit, units);
    sums = add_half(sums, load_block(rows, unit), inputs);
  }
  for (var unit = 0u; unit < ends.w; unit++) {
    let inputs = next_inputs(source, unit, units);
    sums = add_block(sums, load_block(rows, unit), inputs);
  }
  return sums;
}
