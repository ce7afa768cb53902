// y[pair, n] = sum_i down[n, i] act[pair, i] for each pair (row, rank).
// table u32 [experts]; act f32 [rows, top_k, dff], named x; y f32 [rows, top_k, hidden]. Pairs whose expert is not in
// this chunk of the pool are left alone. A workgroup makes OUTPUTS * 32 / LANES elements of TILE pairs (products.wgsl).

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> codes: array<Codes>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;
@group(0) @binding(7) var<uniform> sizes: Sizes;

fn four_rows(n: u32) -> vec4<u32> {
  return min(vec4<u32>(n, n + 1u, n + 2u, n + 3u), vec4<u32>(sizes.hidden - 1u));
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (step.stopped != 0u) { return; }
  let tile = find_tile(group.y);
  if (tile.count == 0u) { return; }
  let slot = table[tile.expert];
  if (!in_chunk(slot)) { return; }
  let groups_here = THREADS / LANES;
  let units = sizes.dff / 16u;
  let across = (sizes.dff + 127u) / 128u;
  let n = (group.x * groups_here + thread / LANES) * OUTPUTS;
  let base = (slot - sizes.first_slot) * sizes.slot_units + sizes.down_units;
  let rows0 = base + four_rows(n) * units;
  let rows1 = base + four_rows(n + 4u) * units;
  let rows2 = base + four_rows(n + 8u) * units;
  let rows3 = base + four_rows(n + 12u) * units;
  let first_scale = (slot - sizes.first_slot) * sizes.slot_scales + sizes.down_scales;
  let scale_row = min(n, sizes.hidden - 1u);
  let low = tile.low * (sizes.dff / 4u);
  let high = tile.high * (sizes.dff / 4u);
  var sums0 = Sums();
  var sums1 = Sums();
  var sums2 = Sums();
  var sums3 = Sums();
  for (var unit = thread % LANES; unit < units; unit += LANES) {
    let inputs = load_inputs(low, high, unit);
    let scale = scale_of(first_scale, across, scale_row, unit);
    sums0 = add_products(sums0, rows0 + unit, scale, inputs);
    sums1 = add_products(sums1, rows1 + unit, scale, inputs);
    if (OUTPUTS > 8u) {
      sums2 = add_products(sums2, rows2 + unit, scale, inputs);
      sums3 = add_products(sums3, rows3 + unit, scale, inputs);
    }
  }
  keep(0u, thread, sums0);
  keep(1u, thread, sums1);
  if (OUTPUTS > 8u) {
    keep(2u, thread, sums2);
    keep(3u, thread, sums3);
  }
  workgroupBarrier();
  let here = OUTPUTS * groups_here;
  for (var o = thread; o < here * TILE; o += THREADS) {
    let output = group.x * here + o % here;
    let place = o / here;
    if (output < sizes.hidden && place < tile.count) {
      y[pair_of(tile, place) * sizes.hidden + output] = total(o % OUTPUTS, place, o % here / OUTPUTS);
    }
  }
}
