// y[pair, n] = sum_i down[n, i] act[pair, i] for each pair (row, rank), of many rows.
// table u32 [experts]; act f32 [rows, top_k, dff], named x; y f32 [rows, top_k, hidden]. Pairs whose expert is not in
// this chunk of the pool are left alone. A workgroup makes 8 TILE_THREADS elements of a tile of pairs at a time
// (tile_products.wgsl).

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
  if (place >= tile.count || n >= sizes.hidden) { return; }
  let at = (pair_at(tile, place) * sizes.hidden + n) / 4u;
  y[at] = sums.low;
  y[at + 1u] = sums.high;
}

// Eight elements from the n-th on.
fn multiply(tile: Tile, place: u32, source: Source, n: u32) {
  let row = min(n, sizes.hidden - 8u);
  let units = sizes.dff / 16u;
  let across = (sizes.dff + 127u) / 128u;
  let base = place * sizes.slot_units + sizes.down_units;
  let low = base + (row + vec4<u32>(0u, 1u, 2u, 3u)) * units;
  let high = low + 4u * units;
  let first_scale = place * sizes.slot_scales + sizes.down_scales;
  // Of two loops one has nothing to do.
  let whole_units = select(units, 0u, tile.count <= 8u);
  let half_units = units - whole_units;
  var sums = TileSums();
  for (var first = 0u; first < whole_units; first += BLOCK_UNITS) {
    let scale = scale_of(first_scale, across, row, first);
    for (var unit = first; unit < min(first + BLOCK_UNITS, units); unit++) {
      let weights = Block(decode_rows(low + unit), decode_rows(high + unit), scale, scale);
      sums = add_block(sums, weights, next_inputs(source, unit, units));
    }
  }
  for (var first = 0u; first < half_units; first += BLOCK_UNITS) {
    let scale = scale_of(first_scale, across, row, first);
    for (var unit = first; unit < min(first + BLOCK_UNITS, units); unit++) {
      let weights = Block(decode_rows(low + unit), decode_rows(high + unit), scale, scale);
      sums = add_half(sums, weights, next_half(source, unit, units));
    }
  }
  store_tile(tile, n, sums);
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
  for (var first = group.y * TILE_THREADS * 8u; first < sizes.hidden; first += groups_in_all.y * TILE_THREADS * 8u) {
    multiply(tile, slot - sizes.first_slot, source, first + thread * 8u);
  }
}
