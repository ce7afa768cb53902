// y (+)= W x in matmul_broadcast.wgsl, with store_quads.wgsl or store_singles.wgsl.

fn store_row(tile: Tile, row: u32, n: u32, sums: RowSums, factor: f32) {
  let at = (tile.row0 + row) * sizes.y_stride + sizes.y_offset + n;
  store_four(at, n, factor * sums.low);
  store_four(at + 4u, n + 4u, factor * sums.high);
}
