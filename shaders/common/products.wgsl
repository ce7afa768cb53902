// The inner part of every product y = W x: a workgroup of 32 threads multiplies OUTPUTS rows of W a lane group with
// TILE rows of x. LANES neighbouring threads share a group and take every LANES-th unit, so that they read
// neighbouring bytes; each keeps the sums of all OUTPUTS x TILE results in registers, a vec4 for four rows of W.
// A sum has one order, whatever OUTPUTS and TILE are: a row of x has the same bits alone and among others. The sums of a
// group are added up by lanes_memory.wgsl or lanes_subgroup.wgsl.

override LANES: u32;   // 4 to 32
override OUTPUTS: u32; // 8 or 16
override TILE: u32;    // 1, 4 or 8
override PARTIAL: u32; // THREADS * OUTPUTS * TILE; as a product of overrides in the array type it ends naga 29 in a panic

const THREADS: u32 = 32u;

var<workgroup> partial: array<f32, PARTIAL>; // [OUTPUTS / 4, TILE, THREADS, 4]

// One unit of each of the TILE rows of x.
struct Inputs {
  a: Unit,
  b: Unit,
  c: Unit,
  d: Unit,
  e: Unit,
  f: Unit,
  g: Unit,
  h: Unit,
}

// Sums of four rows of W for each of the TILE rows of x.
struct Sums {
  a: vec4<f32>,
  b: vec4<f32>,
  c: vec4<f32>,
  d: vec4<f32>,
  e: vec4<f32>,
  f: vec4<f32>,
  g: vec4<f32>,
  h: vec4<f32>,
}

// The unit at quad `at` of x: the kernel that includes this declares x.
fn x_unit(at: u32) -> Unit {
  return Unit(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
}

// The unit `unit` of the rows of x that start at these quads: rows 0 to 3, and 4 to 7.
fn load_inputs(low: vec4<u32>, high: vec4<u32>, unit: u32) -> Inputs {
  var inputs = Inputs();
  inputs.a = x_unit(low.x + unit * 4u);
  if (TILE > 1u) {
    inputs.b = x_unit(low.y + unit * 4u);
    inputs.c = x_unit(low.z + unit * 4u);
    inputs.d = x_unit(low.w + unit * 4u);
  }
  if (TILE > 4u) {
    inputs.e = x_unit(high.x + unit * 4u);
    inputs.f = x_unit(high.y + unit * 4u);
    inputs.g = x_unit(high.z + unit * 4u);
    inputs.h = x_unit(high.w + unit * 4u);
  }
  return inputs;
}

fn dots(w0: Unit, w1: Unit, w2: Unit, w3: Unit, input: Unit) -> vec4<f32> {
  return vec4<f32>(dot_unit(w0, input), dot_unit(w1, input), dot_unit(w2, input), dot_unit(w3, input));
}

// Adds the products of one unit of four rows of W, stored at these places of `codes`.
fn add_products(start: Sums, at: vec4<u32>, scale: vec4<f32>, inputs: Inputs) -> Sums {
  // All loads come before all decoding: a CPU's loop over the threads for a load would put what is decoded on the stack.
  let a = codes[at.x];
  let b = codes[at.y];
  let c = codes[at.z];
  let d = codes[at.w];
  let w0 = decode(a);
  let w1 = decode(b);
  let w2 = decode(c);
  let w3 = decode(d);
  var sums = start;
  sums.a = fma(dots(w0, w1, w2, w3, inputs.a), scale, sums.a);
  if (TILE > 1u) {
    sums.b = fma(dots(w0, w1, w2, w3, inputs.b), scale, sums.b);
    sums.c = fma(dots(w0, w1, w2, w3, inputs.c), scale, sums.c);
    sums.d = fma(dots(w0, w1, w2, w3, inputs.d), scale, sums.d);
  }
  if (TILE > 4u) {
    sums.e = fma(dots(w0, w1, w2, w3, inputs.e), scale, sums.e);
    sums.f = fma(dots(w0, w1, w2, w3, inputs.f), scale, sums.f);
    sums.g = fma(dots(w0, w1, w2, w3, inputs.g), scale, sums.g);
    sums.h = fma(dots(w0, w1, w2, w3, inputs.h), scale, sums.h);
  }
  return sums;
}

// Puts a thread's sums of the four rows of W from 4 block on where `total` finds them.
fn keep(block: u32, thread: u32, sums: Sums) {
  keep_row(block * TILE, thread, sums.a);
  if (TILE > 1u) {
    keep_row(block * TILE + 1u, thread, sums.b);
    keep_row(block * TILE + 2u, thread, sums.c);
    keep_row(block * TILE + 3u, thread, sums.d);
  }
  if (TILE > 4u) {
    keep_row(block * TILE + 4u, thread, sums.e);
    keep_row(block * TILE + 5u, thread, sums.f);
    keep_row(block * TILE + 6u, thread, sums.g);
    keep_row(block * TILE + 7u, thread, sums.h);
  }
}

fn keep_row(place: u32, thread: u32, sum: vec4<f32>) {
  let value = lanes_total(sum);
  let at = (place * THREADS + thread) * 4u;
  partial[at] = value.x;
  partial[at + 1u] = value.y;
  partial[at + 2u] = value.z;
  partial[at + 3u] = value.w;
}

// The sum over the lanes of a group, after a barrier.
fn total(output: u32, tile_row: u32, group: u32) -> f32 {
  let at = ((output / 4u * TILE + tile_row) * THREADS + group * LANES) * 4u + output % 4u;
  var sum = 0.0;
  for (var lane = 0u; lane < kept_lanes(); lane++) { sum += partial[at + lane * 4u]; }
  return sum;
}
