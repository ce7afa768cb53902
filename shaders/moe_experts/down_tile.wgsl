// y[pair, n] = sum_i down[n, i] act[pair, i] for each pair (row, rank), of many rows.
// table u32 [experts]; act f32 [rows, top_k, dff], named x; y f32 [rows, top_k, hidden]. Pairs whose expert is not in
// this chunk of the pool are left alone. A workgroup makes 8 TILE_THREADS elements of a tile of pairs (tile_products.wgsl).

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> codes: array<Codes>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;
@group(0) @binding(7) var<uniform> sizes: Sizes;

fn row_start(tile: Tile, place: u32) -> u32 {
  return pair_at(tile, place) * (sizes.dff / 4u);
}

fn store_row(tile: Tile, place: u32, n: u32, sums: RowSums) {
  if (n >= sizes.hidden) { return; }
  let at = (pair_at(tile, place) * sizes.hidden + n) / 4u;
  y[at] = sums.low;
  y[at + 1u] = sums.high;
}

// Where the codes of two times four rows of down start, and their scales.
struct Rows {
  low: vec4<u32>,
  high: vec4<u32>,
  scales: u32,
}

fn rows_of(slot: u32, n: u32) -> Rows {
  let row = min(n, sizes.hidden - 8u);
  let place = slot - sizes.first_slot;
  let units = sizes.dff / 16u;
  let low = place * sizes.slot_units + sizes.down_units + (row + vec4<u32>(0u, 1u, 2u, 3u)) * units;
  let scales = place * sizes.slot_scales + sizes.down_scales + row / 128u * ((sizes.dff + 127u) / 128u);
  return Rows(low, low + 4u * units, scales);
}

fn load_block(rows: Rows, unit: u32) -> Block {
  let scale = unit_scale(rows.scales, unit);
  return decode_block(rows.low + unit, rows.high + unit, scale, scale);
}

@compute @workgroup_size(TILE_THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let tile = find_tile(group.x);
  let units = select(sizes.dff / 16u, 0u, tile.count == 0u);
  let n = (group.y * TILE_THREADS + thread) * 8u;
  let rows = rows_of(table[tile.expert], n);
  let source = open_tile(tile, thread);
  store_tile(tile, tile.count, n, tile_sums(tile, rows, source, units));
}
