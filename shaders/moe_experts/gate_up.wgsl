// act[pair, i] = silu(sum_k gate[i, k] x[row, k]) * sum_k up[i, k] x[row, k] for each pair (row, rank).
// table u32 [experts]; x f32 [rows, hidden], scaled but not yet normed where there are squares [rows, parts] (row_factor.wgsl);
// act f32 [rows, top_k, dff]. Pairs whose expert is not in this chunk of
// the pool are left alone. A workgroup makes OUTPUTS * 16 / LANES elements of TILE pairs (products.wgsl): a lane
// group's OUTPUTS rows of W are alternately four of gate and the same four of up.

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> codes: array<Codes>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> act: array<f32>;
@group(0) @binding(7) var<storage, read> squares: array<vec4<f32>>;
@group(0) @binding(8) var<uniform> sizes: Sizes;

fn four_rows(i: u32) -> vec4<u32> {
  return min(vec4<u32>(i, i + 1u, i + 2u, i + 3u), vec4<u32>(sizes.dff - 1u));
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (step.stopped != 0u) { return; }
  let tile = find_tile(group.y);
  if (tile.count == 0u) { return; }
  let slot = table[tile.expert];
  if (!in_chunk(slot)) { return; }
  if (sizes.parts > 0u) {
    let row = tile.low.x / sizes.top_k;
    find_factors(row, row + 1u, 1u, sizes.parts, sizes.hidden, sizes.epsilon, thread);
  }
  let groups_here = THREADS / LANES;
  let units = sizes.hidden / 16u;
  let across = (sizes.hidden + 127u) / 128u;
  let i0 = (group.x * groups_here + thread / LANES) * (OUTPUTS / 2u);
  let base = (slot - sizes.first_slot) * sizes.slot_units;
  let gate = base + sizes.gate_units;
  let up = base + sizes.up_units;
  let rows0 = four_rows(i0) * units;
  let rows1 = four_rows(i0 + 4u) * units;
  let scale_base = (slot - sizes.first_slot) * sizes.slot_scales;
  let scale_row = min(i0, sizes.dff - 1u);
  let low = tile.low / sizes.top_k * (sizes.hidden / 4u);
  let high = tile.high / sizes.top_k * (sizes.hidden / 4u);
  var gate0 = Sums();
  var up0 = Sums();
  var gate1 = Sums();
  var up1 = Sums();
  for (var unit = thread % LANES; unit < units; unit += LANES) {
    let inputs = load_inputs(low, high, unit);
    let gate_scale = scale_of(scale_base + sizes.gate_scales, across, scale_row, unit);
    let up_scale = scale_of(scale_base + sizes.up_scales, across, scale_row, unit);
    gate0 = add_products(gate0, gate + rows0 + unit, gate_scale, inputs);
    up0 = add_products(up0, up + rows0 + unit, up_scale, inputs);
    if (OUTPUTS > 8u) {
      gate1 = add_products(gate1, gate + rows1 + unit, gate_scale, inputs);
      up1 = add_products(up1, up + rows1 + unit, up_scale, inputs);
    }
  }
  keep(0u, thread, gate0);
  keep(1u, thread, up0);
  if (OUTPUTS > 8u) {
    keep(2u, thread, gate1);
    keep(3u, thread, up1);
  }
  workgroupBarrier();
  let factor = select(1.0, row_factors[0], sizes.parts > 0u);
  let here = OUTPUTS / 2u * groups_here;
  for (var o = thread; o < here * TILE; o += THREADS) {
    let i = group.x * here + o % here;
    let place = o / here;
    if (i < sizes.dff && place < tile.count) {
      let element = o % (OUTPUTS / 2u);
      let output = element / 4u * 8u + element % 4u;
      let lane_group = o % here / (OUTPUTS / 2u);
      let gated = silu(factor * total(output, place, lane_group));
      act[pair_of(tile, place) * sizes.dff + i] = gated * (factor * total(output + 4u, place, lane_group));
    }
  }
}
