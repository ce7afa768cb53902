// y[pair, n] = sum_i down[n, i] act[pair, i] for the pairs (row, rank) of few rows.
// act f32 [rows, top_k, dff], named x; y f32 [rows, top_k, hidden]. A workgroup makes 8 BLOCKS elements a lane group
// (few_products.wgsl) for one tile of pairs.

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(3) var<storage, read> codes: array<Codes>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(7) var<uniform> sizes: Sizes;

fn four_rows(n: u32) -> vec4<u32> {
  return min(vec4<u32>(n, n + 1u, n + 2u, n + 3u), vec4<u32>(sizes.hidden - 1u));
}

fn weight_rows(slot: u32, n: u32) -> FewRows {
  let base = (slot - sizes.first_slot) * sizes.slot_units + sizes.down_units;
  let units = sizes.dff / 16u;
  let across = (sizes.dff + 127u) / 128u;
  let scale = (slot - sizes.first_slot) * sizes.slot_scales + sizes.down_scales + min(n, sizes.hidden - 1u) / 128u * across;
  return FewRows(
    base + four_rows(n) * units, base + four_rows(n + 4u) * units,
    base + four_rows(n + 8u) * units, base + four_rows(n + 12u) * units,
    scale, scale);
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (step.stopped != 0u) { return; }
  let tile = few_tile(group.x);
  if (tile.count == 0u) { return; }
  let quads = THREADS / LANES * BLOCKS * 2u; // of a workgroup
  let n = (group.y * quads + thread / LANES * BLOCKS * 2u) * 4u;
  multiply(tile, weight_rows(tile.slot, n), tile.pairs * (sizes.dff / 4u), sizes.dff / 16u, thread);
  workgroupBarrier();
  for (var o = thread; o < quads * tile.count; o += THREADS) {
    let quad = o % quads;
    let place = o / quads;
    if (group.y * quads + quad < sizes.hidden / 4u) {
      y[tile.pairs[place] * (sizes.hidden / 4u) + group.y * quads + quad] =
        total_four(quad % (2u * BLOCKS), place, quad / (2u * BLOCKS));
    }
  }
}
