// Adds one to each of 64 words: next to no work, and a dispatch that has to wait for the one before it.
// words u32 [64]; one workgroup.

@group(0) @binding(0) var<storage, read_write> words: array<u32>;

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
  words[thread] += 1u;
}
