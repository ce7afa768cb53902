// The chunks of a pool of experts, for the kernels that list tiles: of each chunk's tiles they say how many workgroups they
// need.

const MOST_CHUNKS: u32 = 64u;

struct ChunkSizes {
  top_k: u32,
  chunks: u32,
  gate_up_groups: u32,        // workgroups of a tile
  down_groups: u32,
  ends: array<vec4<u32>, 16>, // of each chunk: past its last slot
}
