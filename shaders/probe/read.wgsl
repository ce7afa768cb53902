// Reads every byte of `data` and keeps one sum a thread, so that no load can be left out.
// data vec4<u32> [groups * 1024], sums u32 [groups * 64]; a workgroup reads 1024 vectors, neighbouring threads neighbouring ones.

@group(0) @binding(0) var<storage, read> data: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> sums: array<u32>;

fn four(at: u32) -> vec4<u32> {
  return data[at] + data[at + 64u] + data[at + 128u] + data[at + 192u];
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) groups: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  let block = group.y * groups.x + group.x;
  let at = block * 1024u + thread;
  let sum = four(at) + four(at + 256u) + four(at + 512u) + four(at + 768u);
  sums[block * 64u + thread] = sum.x + sum.y + sum.z + sum.w;
}
