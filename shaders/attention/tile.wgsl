// Which rows a workgroup of the prefill kernels takes, and where its sums go. The kernel declares the buffers and how many
// queries a tile has: TILE_QUERIES.

struct Tile {
  segment: u32,
  first_row: u32, // of the tile
  end_row: u32,   // of the segment, past its last
}

// The x-th tile of the step: segments are cut into tiles one after another. Past the last tile, end_row is 0.
fn find_tile(x: u32, rows_a_tile: u32) -> Tile {
  var before = 0u;
  for (var i = 0u; i < step.segments; i++) {
    let count = segments[i].row_count;
    let tiles = (count + rows_a_tile - 1u) / rows_a_tile;
    if (x < before + tiles) {
      let first = segments[i].first_row;
      return Tile(i, first + (x - before) * rows_a_tile, first + count);
    }
    before += tiles;
  }
  return Tile(0u, 0u, 0u);
}

struct Place { tile: Tile, kv_head: u32, quad: u32 }

// Gates and stores eight elements of one query.
fn store(query: u32, place: Place, sum: vec4<f32>, next: vec4<f32>) {
  let share = HEADS / KV_HEADS;
  let row = place.tile.first_row + query / share;
  if (query >= TILE_QUERIES / share * share || row >= place.tile.end_row) { return; }
  let head = place.kv_head * share + query % share;
  let quads = D / 4u;
  let gate = row * 2u * (HEADS + KV_HEADS) * quads + head * 2u * quads + quads + place.quad;
  let to = (row * HEADS + head) * quads + place.quad;
  out[to] = sum / (1.0 + exp(-qkv[gate]));
  out[to + 1u] = next / (1.0 + exp(-qkv[gate + 1u]));
}
