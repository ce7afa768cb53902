// The same 64 * ROUNDS multiply-adds a thread, in a loop of one (UNROLLED 0) or of sixteen at a time: what does the counter
// that is added to every loop cost?
// ends f32 [groups * 64].

override ROUNDS: u32;
override UNROLLED: u32;

@group(0) @binding(0) var<storage, read_write> ends: array<f32>;

fn step(x: vec4<f32>) -> vec4<f32> {
  return fma(x, vec4<f32>(0.999), vec4<f32>(0.001));
}

fn four(x: vec4<f32>) -> vec4<f32> {
  return step(step(step(step(x))));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  var x = vec4<f32>(1.0 + f32(thread) * 0.001);
  if (UNROLLED == 1u) {
    for (var i = 0u; i < ROUNDS; i++) {
      x = four(four(four(four(x))));
    }
  } else {
    for (var i = 0u; i < ROUNDS * 16u; i++) {
      x = step(x);
    }
  }
  ends[group.x * 64u + thread] = x.x + x.y + x.z + x.w;
}
