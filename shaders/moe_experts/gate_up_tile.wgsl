// act[pair, i] = silu(sum_k gate[i, k] x[row, k]) * sum_k up[i, k] x[row, k] for each pair (row, rank), of many rows.
// table u32 [experts]; x f32 [rows, hidden]; act f32 [rows, top_k, dff]. Pairs whose expert is not in this chunk of the pool
// are left alone. A workgroup makes 4 TILE_THREADS elements of a tile of pairs at a time: a thread four rows of gate and the
// same four of up (tile_products.wgsl).

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> codes: array<Codes>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> act: array<vec4<f32>>;
@group(0) @binding(7) var<uniform> sizes: Sizes;

fn row_start(tile: Tile, place: u32) -> u32 {
  return pair_at(tile, place) / sizes.top_k * (sizes.hidden / 4u);
}

fn store_row(tile: Tile, place: u32, i: u32, sums: RowSums) {
  if (place >= tile.count || i >= sizes.dff) { return; }
  let gate = sums.low;
  let gated = vec4<f32>(silu(gate.x), silu(gate.y), silu(gate.z), silu(gate.w));
  act[(pair_at(tile, place) * sizes.dff + i) / 4u] = gated * sums.high;
}

// Four elements from the i-th on.
fn multiply(tile: Tile, place: u32, source: Source, i: u32) {
  let row = min(i, sizes.dff - 4u);
  let units = sizes.hidden / 16u;
  let across = (sizes.hidden + 127u) / 128u;
  let rows = place * sizes.slot_units + (row + vec4<u32>(0u, 1u, 2u, 3u)) * units;
  let gate = rows + sizes.gate_units;
  let up = rows + sizes.up_units;
  let gate_scales = place * sizes.slot_scales + sizes.gate_scales;
  let up_scales = place * sizes.slot_scales + sizes.up_scales;
  // Of two loops one has nothing to do.
  let whole_units = select(units, 0u, tile.count <= 8u);
  let half_units = units - whole_units;
  var sums = TileSums();
  for (var first = 0u; first < whole_units; first += BLOCK_UNITS) {
    let gate_scale = scale_of(gate_scales, across, row, first);
    let up_scale = scale_of(up_scales, across, row, first);
    for (var unit = first; unit < min(first + BLOCK_UNITS, units); unit++) {
      let weights = Block(decode_rows(gate + unit), decode_rows(up + unit), gate_scale, up_scale);
      sums = add_block(sums, weights, next_inputs(source, unit, units));
    }
  }
  for (var first = 0u; first < half_units; first += BLOCK_UNITS) {
    let gate_scale = scale_of(gate_scales, across, row, first);
    let up_scale = scale_of(up_scales, across, row, first);
    for (var unit = first; unit < min(first + BLOCK_UNITS, units); unit++) {
      let weights = Block(decode_rows(gate + unit), decode_rows(up + unit), gate_scale, up_scale);
      sums = add_half(sums, weights, next_half(source, unit, units));
    }
  }
  store_tile(tile, i, sums);
}

@compute @workgroup_size(TILE_THREADS)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups_in_all: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  if (step.stopped != 0u) { return; }
  let tile = find_tile(group.x);
  if (tile.count == 0u) { return; }
  let slot = table[tile.expert];
  if (!in_chunk(slot)) { return; }
  let source = open_tile(tile, thread);
  for (var first = group.y * TILE_THREADS * 4u; first < sizes.dff; first += groups_in_all.y * TILE_THREADS * 4u) {
    multiply(tile, slot - sizes.first_slot, source, first + thread * 4u);
  }
}
