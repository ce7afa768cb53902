// Multiplies and adds without touching memory: 12 chains of f32 a thread, each ROUNDS * 4 long: more would not fit the registers
// of a CPU that runs shaders. The chains keep their values
// near 1, so that nothing overflows or becomes subnormal.
// ends f32 [groups * 64]: the sum of a thread's chains; a workgroup has 64 threads.

override ROUNDS: u32;

@group(0) @binding(0) var<storage, read_write> ends: array<f32>;

fn step(x: vec4<f32>) -> vec4<f32> {
  return fma(x, vec4<f32>(0.999), vec4<f32>(0.001));
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let start = 1.0 + f32(thread) * 0.001;
  var a = vec4<f32>(start);
  var b = vec4<f32>(start + 0.1);
  var c = vec4<f32>(start + 0.2);
  for (var i = 0u; i < ROUNDS; i++) {
    a = step(step(step(step(a))));
    b = step(step(step(step(b))));
    c = step(step(step(step(c))));
  }
  let sum = a + b + c;
  ends[group.x * 64u + thread] = sum.x + sum.y + sum.z + sum.w;
}
