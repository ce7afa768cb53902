// y (+)= W x of many rows, where y has whole quads.

@group(0) @binding(4) var<storage, read_write> y: array<vec4<f32>>;

// Four outputs from the n-th on, which lie at `at` of y.
fn store_four(at: u32, n: u32, values: vec4<f32>) {
  if (n >= sizes.n) { return; }
  if (sizes.accumulate == 1u) {
    y[at / 4u] += values;
  } else {
    y[at / 4u] = values;
  }
}
