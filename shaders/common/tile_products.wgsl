// The inner part of products y = W x of many rows: a thread multiplies two times four rows of W with the sixteen rows of a
// tile of x, and keeps the 128 sums in registers. So a weight is loaded and decoded once in sixteen rows, and how an element
// of x gets to all threads is left to tile_broadcast.wgsl or tile_shared.wgsl. They declare
//   alias Pair                          two rows of x in one unit
//   fn even(pair: Pair) -> Unit         the first of them
//   fn odd(pair: Pair) -> Unit
//   fn open_tile(tile: Tile, thread: u32) -> Source
//   fn next_inputs(source: Source, unit: u32, units: u32) -> Inputs   for every unit in turn, by all threads
//   fn next_half(source: Source, unit: u32, units: u32) -> Inputs     the same for a tile of up to eight rows
//   fn next_quarter(source: Source, unit: u32, units: u32) -> Inputs  the same for a tile of up to four rows
//   fn next_two(source: Source, unit: u32, units: u32) -> Inputs      the same for a tile of up to two rows
// The kernel declares x, Tile, and `row_start`, which tells where a row of the tile starts in x, in quads.
// A sum has one order, whichever rows share the tile.

override TILE_THREADS: u32;

const TILE_ROWS: u32 = 16u;

// One unit of the rows of a tile.
struct Inputs { a: Pair, b: Pair, c: Pair, d: Pair, e: Pair, f: Pair, g: Pair, h: Pair }

// One unit of four rows of W.
struct Weights { a: Unit, b: Unit, c: Unit, d: Unit }

// Sums of four rows of W with one row of x in each element.
struct RowSums { low: vec4<f32>, high: vec4<f32> }

struct TileSums {
  r0: RowSums, r1: RowSums, r2: RowSums, r3: RowSums, r4: RowSums, r5: RowSums, r6: RowSums, r7: RowSums,
  r8: RowSums, r9: RowSums, r10: RowSums, r11: RowSums, r12: RowSums, r13: RowSums, r14: RowSums, r15: RowSums,
}

// A unit of two times four rows of W, and their scales.
struct Block {
  low: Weights,
  high: Weights,
  low_scale: vec4<f32>,
  high_scale: vec4<f32>,
}

// All loads come before all decoding: a CPU's loop over the threads for a load would put what is decoded on the stack.
fn decode_rows(at: vec4<u32>) -> Weights {
  let a = codes[at.x];
  let b = codes[at.y];
  let c = codes[at.z];
  let d = codes[at.w];
  return Weights(decode(a), decode(b), decode(c), decode(d));
}

fn decode_block(low: vec4<u32>, high: vec4<u32>, low_scale: vec4<f32>, high_scale: vec4<f32>) -> Block {
  let a = codes[low.x];
  let b = codes[low.y];
  let c = codes[low.z];
  let d = codes[low.w];
  let e = codes[high.x];
  let f = codes[high.y];
  let g = codes[high.z];
  let h = codes[high.w];
  return Block(
    Weights(decode(a), decode(b), decode(c), decode(d)), Weights(decode(e), decode(f), decode(g), decode(h)),
    low_scale, high_scale);
}

fn dots(w: Weights, input: Unit) -> vec4<f32> {
  return vec4<f32>(dot_unit(w.a, input), dot_unit(w.b, input), dot_unit(w.c, input), dot_unit(w.d, input));
}

fn add_row(sums: RowSums, block: Block, input: Unit) -> RowSums {
  return RowSums(
    fma(dots(block.low, input), block.low_scale, sums.low),
    fma(dots(block.high, input), block.high_scale, sums.high));
}

fn add_block(sums: TileSums, block: Block, inputs: Inputs) -> TileSums {
  return TileSums(
    add_row(sums.r0, block, even(inputs.a)), add_row(sums.r1, block, odd(inputs.a)),
    add_row(sums.r2, block, even(inputs.b)), add_row(sums.r3, block, odd(inputs.b)),
    add_row(sums.r4, block, even(inputs.c)), add_row(sums.r5, block, odd(inputs.c)),
    add_row(sums.r6, block, even(inputs.d)), add_row(sums.r7, block, odd(inputs.d)),
    add_row(sums.r8, block, even(inputs.e)), add_row(sums.r9, block, odd(inputs.e)),
    add_row(sums.r10, block, even(inputs.f)), add_row(sums.r11, block, odd(inputs.f)),
    add_row(sums.r12, block, even(inputs.g)), add_row(sums.r13, block, odd(inputs.g)),
    add_row(sums.r14, block, even(inputs.h)), add_row(sums.r15, block, odd(inputs.h)));
}

// The first eight rows alone.
fn add_half(sums: TileSums, block: Block, inputs: Inputs) -> TileSums {
  var half = add_quarter(sums, block, inputs);
  half.r4 = add_row(sums.r4, block, even(inputs.c));
  half.r5 = add_row(sums.r5, block, odd(inputs.c));
  half.r6 = add_row(sums.r6, block, even(inputs.d));
  half.r7 = add_row(sums.r7, block, odd(inputs.d));
  return half;
}

// The first four rows alone.
fn add_quarter(sums: TileSums, block: Block, inputs: Inputs) -> TileSums {
  var quarter = add_two(sums, block, inputs);
  quarter.r2 = add_row(sums.r2, block, even(inputs.b));
  quarter.r3 = add_row(sums.r3, block, odd(inputs.b));
  return quarter;
}

// The first two rows alone.
fn add_two(sums: TileSums, block: Block, inputs: Inputs) -> TileSums {
  var two = sums;
  two.r0 = add_row(sums.r0, block, even(inputs.a));
  two.r1 = add_row(sums.r1, block, odd(inputs.a));
  return two;
}

fn sums_of_row(sums: TileSums, row: u32) -> RowSums {
  var found = sums.r0;
  if (row == 1u) { found = sums.r1; }
  if (row == 2u) { found = sums.r2; }
  if (row == 3u) { found = sums.r3; }
  if (row == 4u) { found = sums.r4; }
  if (row == 5u) { found = sums.r5; }
  if (row == 6u) { found = sums.r6; }
  if (row == 7u) { found = sums.r7; }
  if (row == 8u) { found = sums.r8; }
  if (row == 9u) { found = sums.r9; }
  if (row == 10u) { found = sums.r10; }
  if (row == 11u) { found = sums.r11; }
  if (row == 12u) { found = sums.r12; }
  if (row == 13u) { found = sums.r13; }
  if (row == 14u) { found = sums.r14; }
  if (row == 15u) { found = sums.r15; }
  return found;
}
