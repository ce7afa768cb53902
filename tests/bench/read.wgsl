// Reads every byte of `data` and does nothing else with it: the rate that no kernel over the same bytes can beat.
// data vec4<u32> [groups * 2048]; sums one word a thread, so that no load can be left out. A workgroup reads 2048 vectors.

@group(0) @binding(0) var<storage, read> data: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;

fn four(at: u32) -> vec4<u32> {
  return data[at] + data[at + 32u] + data[at + 64u] + data[at + 96u];
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  var sum = vec4<u32>(0u);
  for (var i = 0u; i < 4u; i++) {
    let at = (group.x * 4u + i) * 512u + thread;
    sum += four(at) + four(at + 128u) + four(at + 256u) + four(at + 384u);
  }
  sums[group.x * 32u + thread] = sum.x + sum.y + sum.z + sum.w;
}
