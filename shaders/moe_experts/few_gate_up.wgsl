// act[pair, i] = silu(sum_k gate[i, k] x[row, k]) * sum_k up[i, k] x[row, k] for the pairs (row, rank) of few rows.
// x f32 [rows, hidden], scaled but not yet normed where there are squares [rows, parts] (row_factor.wgsl); act f32
// [rows, top_k, dff].
// A block of a lane group is four rows of gate and the same of up (few_products.wgsl): a workgroup makes 4 BLOCKS elements
// a lane group for one tile of pairs.

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(3) var<storage, read> codes: array<Codes>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> act: array<vec4<f32>>;
@group(0) @binding(7) var<storage, read> squares: array<vec4<f32>>;
@group(0) @binding(8) var<uniform> sizes: Sizes;

fn four_rows(i: u32) -> vec4<u32> {
  return min(vec4<u32>(i, i + 1u, i + 2u, i + 3u), vec4<u32>(sizes.dff - 1u));
}

// The rows of gate and up from i on, and from i + 4 on.
fn weight_rows(slot: u32, i: u32) -> FewRows {
  let base = (slot - sizes.first_slot) * sizes.slot_units;
  let low = four_rows(i) * (sizes.hidden / 16u);
  let high = four_rows(i + 4u) * (sizes.hidden / 16u);
  let across = (sizes.hidden + 127u) / 128u;
  let scale = (slot - sizes.first_slot) * sizes.slot_scales + min(i, sizes.dff - 1u) / 128u * across;
  return FewRows(
    base + sizes.gate_units + low, base + sizes.up_units + low,
    base + sizes.gate_units + high, base + sizes.up_units + high,
    scale + sizes.gate_scales, scale + sizes.up_scales);
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (step.stopped != 0u) { return; }
  let tile = few_tile(group.x);
  if (tile.count == 0u) { return; }
  if (sizes.parts > 0u) {
    find_factors(0u, step.rows, min(step.rows, MOST_FACTORS), sizes.parts, sizes.hidden, sizes.epsilon, thread);
  }
  let quads = THREADS / LANES * BLOCKS; // of a workgroup
  let i0 = (group.y * quads + thread / LANES * BLOCKS) * 4u;
  multiply(tile, weight_rows(tile.slot, i0), tile.pairs / sizes.top_k * (sizes.hidden / 4u), sizes.hidden / 16u, thread);
  workgroupBarrier();
  for (var o = thread; o < quads * tile.count; o += THREADS) {
    let quad = o % quads;
    let place = o / quads;
    if (group.y * quads + quad < sizes.dff / 4u) {
      let pair = tile.pairs[place];
      let factor = select(1.0, row_factors[pair / sizes.top_k], sizes.parts > 0u);
      let half = quad % BLOCKS * 2u;
      let gate = factor * total_four(half, place, quad / BLOCKS);
      let up = factor * total_four(half + 1u, place, quad / BLOCKS);
      act[pair * (sizes.dff / 4u) + group.y * quads + quad] =
        vec4<f32>(silu(gate.x), silu(gate.y), silu(gate.z), silu(gate.w)) * up;
    }
  }
}
