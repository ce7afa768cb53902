// y (+)= W x of many rows, where y may start and end anywhere.

@group(0) @binding(4) var<storage, read_write> y: array<f32>;

// Four outputs from the n-th on, which lie at `at` of y.
fn store_four(at: u32, n: u32, values: vec4<f32>) {
  for (var i = 0u; i < min(4u, sizes.n - min(n, sizes.n)); i++) {
    y[at + i] = select(0.0, y[at + i], sizes.accumulate == 1u) + values[i];
  }
}
