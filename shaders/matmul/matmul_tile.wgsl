// y[row, n] (+)= sum_k W[n, k] x[row, k] for many rows (matrix.wgsl): a workgroup makes 8 TILE_THREADS outputs of 16 rows
// (tile_products.wgsl). Workgroups next to each other have the same weights.

struct Tile {
  row0: u32,
  rows: u32,
}

// Rows past the end repeat the last one and are not stored.
fn row_start(tile: Tile, row: u32) -> u32 {
  return min(tile.row0 + row, tile.rows - 1u) * sizes.x_stride + sizes.x_offset;
}

// Stores eight outputs of a row of the tile.
fn store_row(tile: Tile, row: u32, n: u32, sums: RowSums) {
  let at = (tile.row0 + row) * sizes.y_stride + sizes.y_offset + n;
  store_four(at, n, sums.low);
  store_four(at + 4u, n + 4u, sums.high);
}

@compute @workgroup_size(TILE_THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tile = Tile(group.x * TILE_ROWS, select(step.rows, step.head_rows, sizes.head == 1u));
  if (step.stopped != 0u || tile.row0 >= tile.rows) { return; }
  let source = open_tile(tile, thread);
  let n = (group.y * TILE_THREADS + thread) * 8u;
  let low = four_rows(n);
  let high = four_rows(n + 4u);
  let units = sizes.k / 16u;
  let across = (sizes.k + 127u) / 128u;
  var sums = TileSums();
  for (var first = 0u; first < units; first += BLOCK_UNITS) {
    let low_scale = scales_of(low / sizes.scale_rows * across, first);
    var high_scale = low_scale;
    if (SHARING % 8u != 0u) { high_scale = scales_of(high / sizes.scale_rows * across, first); }
    for (var unit = first; unit < min(first + BLOCK_UNITS, units); unit++) {
      let inputs = next_inputs(source, unit, units);
      sums = add_block(sums, decode_block(low * units + unit, high * units + unit, low_scale, high_scale), inputs);
    }
  }
  store_tile(tile, tile.rows - tile.row0, n, sums);
}
