// h[row, n] += sum over rank of weights[row, rank] y[row, rank, n], in the order of the ranks, with the first half of the
// norm that follows (row_factor.wgsl has the second): scaled = h (1 + norm), squares [rows, next_parts] sums of h^2 over
// BLOCK columns each. y f32 [rows, top_k, hidden]; weights f32 [rows, top_k]; h, scaled f32 [rows, hidden]; norm f32 [hidden].
// A thread has one block of one row: neighbours' squares are no concern of its own, so nothing is shared and nobody waits.
// Nothing is done while other waves of experts follow.

override BLOCK: u32; // columns: a multiple of 4

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> scaled: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> squares: array<f32>;
@group(0) @binding(7) var<uniform> sizes: Sizes;

@compute @workgroup_size(32)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let row = id.y;
  let quads = sizes.hidden / 4u;
  let first = id.x * (BLOCK / 4u);
  if (step.stopped != 0u || step.more_waves != 0u || row >= step.rows || first >= quads) { return; }
  // Mesa's CPU driver compiles a kernel anew at every dispatch if a uniform alone says where a loop ends, to unroll it.
  let ranks = select(sizes.top_k, 0u, step.stopped != 0u);
  var square = 0.0;
  for (var quad = first; quad < min(first + BLOCK / 4u, quads); quad++) {
    var sum = vec4<f32>();
    for (var rank = 0u; rank < ranks; rank++) {
      let pair = row * sizes.top_k + rank;
      sum = fma(vec4<f32>(weights[pair]), y[pair * quads + quad], sum);
    }
    let at = row * quads + quad;
    let value = h[at] + sum;
    h[at] = value;
    scaled[at] = value * (1.0 + norm[quad]);
    let four = value * value;
    square = (((square + four.x) + four.y) + four.z) + four.w;
  }
  squares[row * sizes.next_parts + id.x] = square;
}
