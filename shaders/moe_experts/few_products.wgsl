// The products of few_gate_up.wgsl and few_down.wgsl: a workgroup of 32 threads multiplies rows of an expert with the rows
// of x of a tile's pairs. LANES neighbouring threads share BLOCKS x 8 rows and take every LANES-th unit. Most tiles have one
// pair: it has a loop of its own, so that nothing is multiplied in vain. Neither loop stands inside another or a branch: CPUs
// that run shaders pay for that in every load. The order of a sum is that of products.wgsl.

override LANES: u32;   // 4 to 32
override BLOCKS: u32;  // blocks of eight rows of a lane group: 1 or 2
override TILE: u32;    // most pairs of a tile: 1 or 4
override MIXED: bool;  // whether tiles of one pair come among larger ones
override PARTIAL: u32; // 32 * 2 * BLOCKS * TILE

const THREADS: u32 = 32u;

struct FewTile {
  slot: u32,
  count: u32,       // 0: nothing to do
  pairs: vec4<u32>, // those past `count` repeat the last one
}

var<workgroup> partial: array<vec4<f32>, PARTIAL>; // [2 BLOCKS, TILE, THREADS]: four rows each

// Where the two halves of each block of rows start, in units of codes, and their scales.
struct FewRows {
  a: vec4<u32>,
  b: vec4<u32>,
  c: vec4<u32>,
  d: vec4<u32>,
  scale_a: u32,
  scale_b: u32,
}

// Sums of four rows for four pairs.
struct FewSums {
  a: vec4<f32>,
  b: vec4<f32>,
  c: vec4<f32>,
  d: vec4<f32>,
}

fn x_unit(at: u32) -> Unit {
  return Unit(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
}

fn dots(w0: Unit, w1: Unit, w2: Unit, w3: Unit, input: Unit) -> vec4<f32> {
  return vec4<f32>(dot_unit(w0, input), dot_unit(w1, input), dot_unit(w2, input), dot_unit(w3, input));
}

// All loads come before all decoding: a CPU's loop over the threads for a load would put what is decoded on the stack.
fn add_one(sum: vec4<f32>, at: vec4<u32>, scale: vec4<f32>, input: Unit) -> vec4<f32> {
  let c0 = codes[at.x];
  let c1 = codes[at.y];
  let c2 = codes[at.z];
  let c3 = codes[at.w];
  return fma(dots(decode(c0), decode(c1), decode(c2), decode(c3), input), scale, sum);
}

fn add_four(start: FewSums, at: vec4<u32>, scale: vec4<f32>, a: Unit, b: Unit, c: Unit, d: Unit) -> FewSums {
  let c0 = codes[at.x];
  let c1 = codes[at.y];
  let c2 = codes[at.z];
  let c3 = codes[at.w];
  let w0 = decode(c0);
  let w1 = decode(c1);
  let w2 = decode(c2);
  let w3 = decode(c3);
  return FewSums(
    fma(dots(w0, w1, w2, w3, a), scale, start.a),
    fma(dots(w0, w1, w2, w3, b), scale, start.b),
    fma(dots(w0, w1, w2, w3, c), scale, start.c),
    fma(dots(w0, w1, w2, w3, d), scale, start.d));
}

fn keep_four(half: u32, thread: u32, sums: FewSums) {
  let at = half * TILE * THREADS + thread;
  partial[at] = lanes_total(sums.a);
  partial[at + THREADS] = lanes_total(sums.b);
  partial[at + 2u * THREADS] = lanes_total(sums.c);
  partial[at + 3u * THREADS] = lanes_total(sums.d);
}

fn keep_one(half: u32, thread: u32, sum: vec4<f32>) {
  partial[half * TILE * THREADS + thread] = lanes_total(sum);
}

// Leaves the products of `units` units of the rows with x at these quads in `partial`.
fn multiply(tile: FewTile, rows: FewRows, starts: vec4<u32>, units: u32, thread: u32) {
  let alone = TILE == 1u || (MIXED && tile.count == 1u);
  if (TILE == 1u || MIXED) { multiply_alone(alone, rows, starts.x, units, thread); }
  if (TILE > 1u) { multiply_several(alone, rows, starts, units, thread); }
}

fn multiply_alone(alone: bool, rows: FewRows, start: u32, units: u32, thread: u32) {
  let end = select(0u, units, alone);
  var a = vec4<f32>();
  var b = vec4<f32>();
  var c = vec4<f32>();
  var d = vec4<f32>();
  for (var unit = thread % LANES; unit < end; unit += LANES) {
    let input = x_unit(start + unit * 4u);
    let scale_a = unit_scale(rows.scale_a, unit);
    let scale_b = unit_scale(rows.scale_b, unit);
    a = add_one(a, rows.a + unit, scale_a, input);
    b = add_one(b, rows.b + unit, scale_b, input);
    if (BLOCKS > 1u) {
      c = add_one(c, rows.c + unit, scale_a, input);
      d = add_one(d, rows.d + unit, scale_b, input);
    }
  }
  if (!alone) { return; }
  keep_one(0u, thread, a);
  keep_one(1u, thread, b);
  if (BLOCKS > 1u) {
    keep_one(2u, thread, c);
    keep_one(3u, thread, d);
  }
}

fn multiply_several(alone: bool, rows: FewRows, starts: vec4<u32>, units: u32, thread: u32) {
  let end = select(units, 0u, alone);
  var a = FewSums();
  var b = FewSums();
  var c = FewSums();
  var d = FewSums();
  for (var unit = thread % LANES; unit < end; unit += LANES) {
    let at = starts + unit * 4u;
    let x0 = x_unit(at.x);
    let x1 = x_unit(at.y);
    let x2 = x_unit(at.z);
    let x3 = x_unit(at.w);
    let scale_a = unit_scale(rows.scale_a, unit);
    let scale_b = unit_scale(rows.scale_b, unit);
    a = add_four(a, rows.a + unit, scale_a, x0, x1, x2, x3);
    b = add_four(b, rows.b + unit, scale_b, x0, x1, x2, x3);
    if (BLOCKS > 1u) {
      c = add_four(c, rows.c + unit, scale_a, x0, x1, x2, x3);
      d = add_four(d, rows.d + unit, scale_b, x0, x1, x2, x3);
    }
  }
  if (alone) { return; }
  keep_four(0u, thread, a);
  keep_four(1u, thread, b);
  if (BLOCKS > 1u) {
    keep_four(2u, thread, c);
    keep_four(3u, thread, d);
  }
}

// The sums over the lanes of a group, after a barrier.
fn total_four(half: u32, place: u32, group: u32) -> vec4<f32> {
  let at = (half * TILE + place) * THREADS + group * LANES;
  var sum = vec4<f32>();
  for (var lane = 0u; lane < kept_lanes(); lane++) { sum += partial[at + lane]; }
  return sum;
}
