// copied = data, nothing more. Both vec4<u32> [groups * 2048]; a workgroup copies 2048 vectors.

@group(0) @binding(0) var<storage, read> data: array<vec4<u32>>;
@group(0) @binding(1) var<storage, read_write> copied: array<vec4<u32>>;

fn four(at: u32) {
  copied[at] = data[at];
  copied[at + 32u] = data[at + 32u];
  copied[at + 64u] = data[at + 64u];
  copied[at + 96u] = data[at + 96u];
}

@compute @workgroup_size(32)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  for (var i = 0u; i < 4u; i++) {
    let at = (group.x * 4u + i) * 512u + thread;
    four(at);
    four(at + 128u);
    four(at + 256u);
    four(at + 384u);
  }
}
