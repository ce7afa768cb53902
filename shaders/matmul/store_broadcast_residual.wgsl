// y += W x in matmul_broadcast.wgsl, with the first half of the norm that follows (store_residual.wgsl): a workgroup writes
// one block of 64 columns, whose squares its eight threads tell each other.

@group(0) @binding(4) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<storage, read> norm: array<f32>;
@group(0) @binding(8) var<storage, read_write> scaled: array<f32>;
@group(0) @binding(9) var<storage, read_write> next_squares: array<f32>;

// Adds the n-th output, which lies at `at` of y; returns its square.
fn add_one(at: u32, n: u32, sum: f32) -> f32 {
  if (n >= sizes.n) { return 0.0; }
  let value = y[at] + sum;
  y[at] = value;
  scaled[at] = value * (1.0 + norm[sizes.y_offset + n]);
  return value * value;
}

fn add_four(at: u32, n: u32, sums: vec4<f32>) -> f32 {
  return (add_one(at, n, sums.x) + add_one(at + 1u, n + 1u, sums.y)) +
    (add_one(at + 2u, n + 2u, sums.z) + add_one(at + 3u, n + 3u, sums.w));
}

fn store_row(tile: Tile, row: u32, n: u32, sums: RowSums, factor: f32) {
  let at = (tile.row0 + row) * sizes.y_stride + sizes.y_offset + n;
  let square = add_four(at, n, factor * sums.low) + add_four(at + 4u, n + 4u, factor * sums.high);
  let low = (subgroupBroadcast(square, 0u) + subgroupBroadcast(square, 1u)) +
    (subgroupBroadcast(square, 2u) + subgroupBroadcast(square, 3u));
  let high = (subgroupBroadcast(square, 4u) + subgroupBroadcast(square, 5u)) +
    (subgroupBroadcast(square, 6u) + subgroupBroadcast(square, 7u));
  let block = (sizes.y_offset + n) / 64u;
  if (n % 64u == 0u && n < sizes.n) { next_squares[(tile.row0 + row) * sizes.next_parts + block] = low + high; }
}
