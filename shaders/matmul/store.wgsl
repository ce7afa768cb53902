// y (+)= W x.

fn store(group: u32, row0: u32, rows: u32, thread: u32) {
  let here = OUTPUTS * (THREADS / LANES);
  for (var i = thread; i < here * TILE; i += THREADS) {
    let output = group * here + i % here;
    let tile_row = i / here;
    if (output < sizes.n && row0 + tile_row < rows) {
      let at = (row0 + tile_row) * sizes.y_stride + sizes.y_offset + output;
      let sum = total(i % OUTPUTS, tile_row, i / OUTPUTS % (THREADS / LANES));
      // Said as one operation: else a driver may make it one or two as it likes, and another kernel have other bits.
      y[at] = fma(factor(tile_row), sum, select(0.0, y[at], sizes.accumulate == 1u));
    }
  }
}
