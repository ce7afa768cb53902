// sums[thread] = the sum of 32 numbers, each of them x -> x / 2 + 1 from data[thread], 128 times: 4096 multiply-adds
// a thread that touch registers alone, the rate that no kernel's arithmetic can beat. f32 throughout.
// data f32 [groups * 32], sums f32 [groups * 32]. A workgroup makes 32 sums.

@group(0) @binding(0) var<storage, read> data: array<f32>;
@group(0) @binding(1) var<storage, read_write> sums: array<f32>;

const HALF = vec4<f32>(0.5);
const ONE = vec4<f32>(1.0);

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let at = group.x * 32u + thread;
  let x = vec4<f32>(data[at]);
  var a = x;
  var b = x;
  var c = x;
  var d = x;
  var e = x;
  var f = x;
  var g = x;
  var h = x;
  for (var i = 0u; i < 32u; i++) {
    a = fma(fma(fma(fma(a, HALF, ONE), HALF, ONE), HALF, ONE), HALF, ONE);
    b = fma(fma(fma(fma(b, HALF, ONE), HALF, ONE), HALF, ONE), HALF, ONE);
    c = fma(fma(fma(fma(c, HALF, ONE), HALF, ONE), HALF, ONE), HALF, ONE);
    d = fma(fma(fma(fma(d, HALF, ONE), HALF, ONE), HALF, ONE), HALF, ONE);
    e = fma(fma(fma(fma(e, HALF, ONE), HALF, ONE), HALF, ONE), HALF, ONE);
    f = fma(fma(fma(fma(f, HALF, ONE), HALF, ONE), HALF, ONE), HALF, ONE);
    g = fma(fma(fma(fma(g, HALF, ONE), HALF, ONE), HALF, ONE), HALF, ONE);
    h = fma(fma(fma(fma(h, HALF, ONE), HALF, ONE), HALF, ONE), HALF, ONE);
  }
  let sum = a + b + c + d + e + f + g + h;
  sums[at] = sum.x + sum.y + sum.z + sum.w;
}
