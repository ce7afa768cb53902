// y += W x, with the first half of the norm that follows (row_factor.wgsl has the second): scaled = y (1 + norm), and
// next_squares [rows, next_parts], the sums of y^2 over BLOCK columns each. norm f32 [columns of y]; scaled f32 like y.

override BLOCK: u32;
override KEPT: u32; // outputs of a workgroup

@group(0) @binding(7) var<storage, read> norm: array<f32>;
@group(0) @binding(8) var<storage, read_write> scaled: array<f32>;
@group(0) @binding(9) var<storage, read_write> next_squares: array<f32>;

var<workgroup> kept: array<f32, KEPT>; // [TILE, KEPT / TILE]: squares

fn store(group: u32, row0: u32, rows: u32, thread: u32) {
  let here = OUTPUTS * (THREADS / LANES);
  for (var i = thread; i < here * TILE; i += THREADS) {
    let output = group * here + i % here;
    let tile_row = i / here;
    var value = 0.0;
    if (output < sizes.n && row0 + tile_row < rows) {
      let column = sizes.y_offset + output;
      let at = (row0 + tile_row) * sizes.y_stride + column;
      value = fma(factor(tile_row), total(i % OUTPUTS, tile_row, i / OUTPUTS % (THREADS / LANES)), y[at]);
      y[at] = value;
      scaled[at] = value * (1.0 + norm[column]);
    }
    kept[i] = value * value;
  }
  workgroupBarrier();
  let blocks = here / BLOCK;
  for (var block = thread; block < blocks * TILE; block += THREADS) {
    let row = row0 + block / blocks;
    let first = group * here + block % blocks * BLOCK;
    if (row < rows && first < sizes.n) {
      var sum = 0.0;
      for (var i = 0u; i < BLOCK; i++) { sum += kept[block * BLOCK + i]; }
      next_squares[row * sizes.next_parts + (sizes.y_offset + first) / BLOCK] = sum;
    }
  }
}
