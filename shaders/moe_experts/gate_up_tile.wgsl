// act[pair, i] = silu(sum_k gate[i, k] x[row, k]) * sum_k up[i, k] x[row, k] for each pair (row, rank), of many rows.
// table u32 [experts]; x f32 [rows, hidden]; act f32 [rows, top_k, dff]. Pairs whose expert is not in this chunk of the pool
// are left alone. A workgroup makes 4 TILE_THREADS elements of a tile of pairs: a thread four rows of gate and the same four
// of up (tile_products.wgsl).

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
  if (i >= sizes.dff) { return; }
  let gate = sums.low;
  let gated = vec4<f32>(silu(gate.x), silu(gate.y), silu(gate.z), silu(gate.w));
  act[(pair_at(tile, place) * sizes.dff + i) / 4u] = gated * sums.high;
}

// Where the codes of four rows of gate and of up start, and their scales.
struct Rows {
  gate: vec4<u32>,
  up: vec4<u32>,
  gate_scales: u32,
  up_scales: u32,
}

fn rows_of(slot: u32, i: u32) -> Rows {
  let row = min(i, sizes.dff - 4u);
  let place = slot - sizes.first_slot;
  let at = place * sizes.slot_units + (row + vec4<u32>(0u, 1u, 2u, 3u)) * (sizes.hidden / 16u);
  let scale = place * sizes.slot_scales + row / 128u * ((sizes.hidden + 127u) / 128u);
  return Rows(at + sizes.gate_units, at + sizes.up_units, scale + sizes.gate_scales, scale + sizes.up_scales);
}

fn load_block(rows: Rows, unit: u32) -> Block {
  return decode_block(
    rows.gate + unit, rows.up + unit, unit_scale(rows.gate_scales, unit), unit_scale(rows.up_scales, unit));
}

@compute @workgroup_size(TILE_THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tile = find_tile(group.x);
  let units = select(sizes.hidden / 16u, 0u, tile.count == 0u);
  let i = (group.y * TILE_THREADS + thread) * 4u;
  let rows = rows_of(table[tile.expert], i);
  let source = open_tile(tile, thread);
  store_tile(tile, tile.count, i, tile_sums(tile, rows, source, units));
}
