// y[row, n] (+)= sum_k W[n, k] x[row, k] (matrix.wgsl) for processors that run shaders on vectors of a CPU: a workgroup makes
// 64 outputs of TILE rows, a thread eight of them, and threads tell each other x (tile_broadcast.wgsl). Where x is scaled but
// not yet normed, squares f32 [rows, parts] has the rest of the norm, as in row_factor.wgsl.
// A sum has one order, whatever TILE is: a row of x has the same bits alone and among others. There is no workgroup memory:
// a barrier costs more than what it would save.

override TILE: u32; // 1, 2, 4, 8 or 16

@group(0) @binding(6) var<storage, read> squares: array<vec4<f32>>;

struct Tile {
  row0: u32,
  rows: u32,
}

// Rows past the end repeat the last one and are not stored.
fn row_start(tile: Tile, row: u32) -> u32 {
  return min(tile.row0 + row, tile.rows - 1u) * sizes.x_stride + sizes.x_offset;
}

// 1 / rms of a row of x.
fn row_factor(tile: Tile, row: u32) -> f32 {
  let quads = sizes.parts / 4u;
  let first = min(tile.row0 + row, tile.rows - 1u) * quads;
  var sum = vec4<f32>();
  for (var i = 0u; i < quads; i++) { sum += squares[first + i]; }
  let factor = inverseSqrt(((sum.x + sum.y) + (sum.z + sum.w)) / f32(sizes.k) + sizes.epsilon);
  return select(1.0, factor, sizes.parts > 0u);
}

// Where the codes of two times four rows of W start, and their scales.
struct Rows {
  low: vec4<u32>,
  high: vec4<u32>,
  low_scales: vec4<u32>,
  high_scales: vec4<u32>,
}

fn load_block(rows: Rows, unit: u32) -> Block {
  let low_scale = scales_of(rows.low_scales, unit);
  var high_scale = low_scale;
  if (SHARING % 8u != 0u) { high_scale = scales_of(rows.high_scales, unit); }
  return decode_block(rows.low + unit, rows.high + unit, low_scale, high_scale);
}

fn load_rows(source: Source, unit: u32, units: u32) -> Inputs {
  if (TILE > 8u) { return next_inputs(source, unit, units); }
  if (TILE > 4u) { return next_half(source, unit, units); }
  if (TILE > 2u) { return next_quarter(source, unit, units); }
  var inputs = Inputs();
  inputs.a = x[source.low.x + unit * 4u];
  return inputs;
}

fn add_rows(sums: TileSums, block: Block, inputs: Inputs) -> TileSums {
  if (TILE > 8u) { return add_block(sums, block, inputs); }
  if (TILE > 4u) { return add_half(sums, block, inputs); }
  if (TILE > 2u) { return add_quarter(sums, block, inputs); }
  var two = sums;
  two.r0 = add_row(sums.r0, block, even(inputs.a));
  two.r1 = add_row(sums.r1, block, odd(inputs.a));
  return two;
}

// One row: eight threads load two units of it together. Past the last unit they have zeros.
fn add_two_units(sum: RowSums, rows: Rows, first: u32, thread: u32, unit: u32, units: u32) -> RowSums {
  let isThere = unit + thread % 8u / 4u < units;
  let pair = select(vec4<f32>(), x[first + unit * 4u], isThere);
  let sums = add_row(sum, load_block(rows, unit), even(pair));
  return add_row(sums, load_block(rows, min(unit + 1u, units - 1u)), odd(pair));
}

// Stores the sums of a thread; the factors of rows 0 to 7 are those of the threads, of rows 8 to 15 their second ones. As a
// loop: drivers would compile sixteen copies of what stores a row for seconds.
fn store_rows(tile: Tile, n: u32, sums: TileSums, factors: vec2<f32>) {
  let count = min(TILE, max(tile.rows, tile.row0) - tile.row0);
  for (var row = 0u; row < count; row++) {
    let factor = subgroupShuffle(select(factors.x, factors.y, row >= 8u), row % 8u);
    store_row(tile, row, n, sums_of_row(sums, row), factor);
  }
}

@compute @workgroup_size(TILE_THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let rows = select(step.rows, step.head_rows, sizes.head == 1u);
  // A step that has nothing for this workgroup has no units: after a return every load would ask who is still there.
  let tile = Tile(group.x * TILE, select(rows, 0u, step.stopped != 0u));
  let units = select(sizes.k / 16u, 0u, tile.row0 >= tile.rows);
  let n = (group.y * TILE_THREADS + thread) * 8u;
  let low = four_rows(n);
  let high = four_rows(n + 4u);
  let across = (sizes.k + 127u) / 128u;
  let rows_of_w = Rows(low * units, high * units, low / sizes.scale_rows * across, high / sizes.scale_rows * across);
  var sums = TileSums();
  // Flat loops: inside another a load costs more than the scales that are loaded eight times.
  if (TILE == 1u) {
    let first = row_start(tile, 0u) + thread % 8u;
    for (var unit = 0u; unit < units; unit += 2u) {
      sums.r0 = add_two_units(sums.r0, rows_of_w, first, thread, unit, units);
    }
  } else {
    let source = open_tile(tile, thread);
    for (var unit = 0u; unit < units; unit++) {
      let inputs = load_rows(source, unit, units);
      sums = add_rows(sums, load_block(rows_of_w, unit), inputs);
    }
  }
  var factors = vec2<f32>(row_factor(tile, thread));
  if (TILE > 8u) { factors.y = row_factor(tile, thread + 8u); }
  store_rows(tile, n, sums, factors);
}
