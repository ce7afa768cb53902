// The end of a kernel that multiplies tiles of sixteen rows (tile_products.wgsl). It declares `store_row`, which stores a
// thread's sums of a row.

// Stores the sums that a thread has of the first `count` rows; its first output is the n-th. As a loop: drivers would compile
// sixteen copies of what stores a row for seconds.
fn store_tile(tile: Tile, count: u32, n: u32, sums: TileSums) {
  for (var row = 0u; row < min(count, TILE_ROWS); row++) { store_row(tile, row, n, sums_of_row(sums, row)); }
}
