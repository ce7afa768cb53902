// h[row, n] += sum over rank of weights[row, rank] y[row, rank, n], in the order of the ranks, with the first half of the
// norm that follows (row_factor.wgsl has the second): scaled = h (1 + norm), squares [rows, next_parts] sums of h^2 over
// BLOCK columns each. y f32 [rows, top_k, hidden]; weights f32 [rows, top_k]; h, scaled f32 [rows, hidden]; norm f32 [hidden].
// A thread has four columns of one row, a workgroup 256. Nothing is done while other waves of experts follow.

override BLOCK: u32; // columns: 8 or 32

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> y: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> h: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> norm: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> scaled: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> squares: array<f32>;
@group(0) @binding(7) var<uniform> sizes: Sizes;

var<workgroup> kept: array<vec4<f32>, 64>; // squares

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.y;
  if (step.stopped != 0u || step.more_waves != 0u || row >= step.rows) { return; }
  let quads = sizes.hidden / 4u;
  let quad = group.x * 64u + thread;
  var value = vec4<f32>();
  if (quad < quads) {
    var sum = vec4<f32>();
    for (var rank = 0u; rank < sizes.top_k; rank++) {
      let pair = row * sizes.top_k + rank;
      sum = fma(vec4<f32>(weights[pair]), y[pair * quads + quad], sum);
    }
    let at = row * quads + quad;
    value = h[at] + sum;
    h[at] = value;
    scaled[at] = value * (1.0 + norm[quad]);
  }
  kept[thread] = value * value;
  workgroupBarrier();
  let part = group.x * (256u / BLOCK) + thread;
  if (thread < 256u / BLOCK && part * BLOCK < sizes.hidden) {
    var square = 0.0;
    for (var i = 0u; i < BLOCK / 4u; i++) {
      let four = kept[thread * (BLOCK / 4u) + i];
      square = (((square + four.x) + four.y) + four.z) + four.w;
    }
    squares[row * sizes.next_parts + part] = square;
  }
}
