// The inner part of the tiled products: 64 threads multiply 32 rows of x with 64 rows of W, 16 columns at a time.
// Thread t owns rows t / 8 + 8 i (i < 4) and outputs t % 8 + 8 j (j < 8). Both tiles lie in workgroup memory, a row
// padded to 5 quads so that neighbouring threads read different banks.

const TILE_ROWS: u32 = 32u;
const TILE_OUTPUTS: u32 = 64u;

var<workgroup> tile_x: array<vec4<f32>, 160>; // [32, 5]
var<workgroup> tile_w: array<vec4<f32>, 320>; // [64, 5]

// The sums of a thread: a letter a row, the first quad for j < 4.
struct Sums {
  a0: vec4<f32>,
  a1: vec4<f32>,
  b0: vec4<f32>,
  b1: vec4<f32>,
  c0: vec4<f32>,
  c1: vec4<f32>,
  d0: vec4<f32>,
  d1: vec4<f32>,
}

fn stage_weights(output: u32, w: Unit, scale: f32) {
  tile_w[output * 5u] = w.a * scale;
  tile_w[output * 5u + 1u] = w.b * scale;
  tile_w[output * 5u + 2u] = w.c * scale;
  tile_w[output * 5u + 3u] = w.d * scale;
}

fn stage_input(row: u32, quad: u32, value: vec4<f32>) {
  tile_x[row * 5u + quad] = value;
}

fn dots(w0: vec4<f32>, w1: vec4<f32>, w2: vec4<f32>, w3: vec4<f32>, x: vec4<f32>, sum: vec4<f32>) -> vec4<f32> {
  return vec4<f32>(dot4(w0, x, sum.x), dot4(w1, x, sum.y), dot4(w2, x, sum.z), dot4(w3, x, sum.w));
}

fn multiply_quad(start: Sums, thread: u32, quad: u32) -> Sums {
  var sums = start;
  let row = thread / 8u * 5u + quad;
  let output = thread % 8u * 5u + quad;
  let xa = tile_x[row];
  let xb = tile_x[row + 40u];
  let xc = tile_x[row + 80u];
  let xd = tile_x[row + 120u];
  let w0 = tile_w[output];
  let w1 = tile_w[output + 40u];
  let w2 = tile_w[output + 80u];
  let w3 = tile_w[output + 120u];
  sums.a0 = dots(w0, w1, w2, w3, xa, sums.a0);
  sums.b0 = dots(w0, w1, w2, w3, xb, sums.b0);
  sums.c0 = dots(w0, w1, w2, w3, xc, sums.c0);
  sums.d0 = dots(w0, w1, w2, w3, xd, sums.d0);
  let w4 = tile_w[output + 160u];
  let w5 = tile_w[output + 200u];
  let w6 = tile_w[output + 240u];
  let w7 = tile_w[output + 280u];
  sums.a1 = dots(w4, w5, w6, w7, xa, sums.a1);
  sums.b1 = dots(w4, w5, w6, w7, xb, sums.b1);
  sums.c1 = dots(w4, w5, w6, w7, xc, sums.c1);
  sums.d1 = dots(w4, w5, w6, w7, xd, sums.d1);
  return sums;
}

fn multiply_tiles(start: Sums, thread: u32) -> Sums {
  var sums = start;
  for (var quad = 0u; quad < 4u; quad++) { sums = multiply_quad(sums, thread, quad); }
  return sums;
}
