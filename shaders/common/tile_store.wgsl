// The end of a kernel that multiplies tiles of sixteen rows (tile_products.wgsl). It declares `store_row`, which stores a
// thread's sums of a row.

// Stores all sums of a thread whose first output is the n-th.
fn store_tile(tile: Tile, n: u32, sums: TileSums) {
  store_row(tile, 0u, n, sums.r0);
  store_row(tile, 1u, n, sums.r1);
  store_row(tile, 2u, n, sums.r2);
  store_row(tile, 3u, n, sums.r3);
  store_row(tile, 4u, n, sums.r4);
  store_row(tile, 5u, n, sums.r5);
  store_row(tile, 6u, n, sums.r6);
  store_row(tile, 7u, n, sums.r7);
  store_row(tile, 8u, n, sums.r8);
  store_row(tile, 9u, n, sums.r9);
  store_row(tile, 10u, n, sums.r10);
  store_row(tile, 11u, n, sums.r11);
  store_row(tile, 12u, n, sums.r12);
  store_row(tile, 13u, n, sums.r13);
  store_row(tile, 14u, n, sums.r14);
  store_row(tile, 15u, n, sums.r15);
}
