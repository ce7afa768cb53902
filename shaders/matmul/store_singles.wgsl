// y (+)= W x of many rows, where y may start and end anywhere.

@group(0) @binding(4) var<storage, read_write> y: array<f32>;

fn store_one(at: u32, n: u32, value: f32) {
  if (n >= sizes.n) { return; }
  y[at] = select(0.0, y[at], sizes.accumulate == 1u) + value;
}

// Four outputs from the n-th on, which lie at `at` of y.
fn store_four(at: u32, n: u32, values: vec4<f32>) {
  store_one(at, n, values.x);
  store_one(at + 1u, n + 1u, values.y);
  store_one(at + 2u, n + 2u, values.z);
  store_one(at + 3u, n + 3u, values.w);
}
