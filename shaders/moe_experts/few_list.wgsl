// Cuts the pairs (row, rank) of a step of few rows into tiles of up to TILE pairs of one expert, in the order of their
// slots, so that the kernels of a chunk of the pool find theirs side by side (few_tiles.wgsl has the layout of `list`).
// ids u32 [rows, top_k]; table u32 [experts]. Pairs whose expert has no slot are left out. One workgroup.

override TILE: u32;
override MOST_PAIRS: u32;

struct ListSizes {
  top_k: u32,
  chunks: u32,
  reserved0: u32,
  reserved1: u32,
  ends: array<vec4<u32>, 16>, // of each chunk: past its last slot
}

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read_write> list: array<u32>;
@group(0) @binding(4) var<uniform> sizes: ListSizes;

var<workgroup> slots: array<u32, MOST_PAIRS>; // of each pair
var<workgroup> heads: array<u32, MOST_PAIRS>; // the slot where the pair begins a tile, else NONE

fn heads_below(slot: u32, pairs: u32) -> u32 {
  var count = 0u;
  for (var i = 0u; i < pairs; i++) { count += u32(heads[i] < slot); }
  return count;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
  if (step.stopped != 0u) { return; }
  let pairs = min(step.rows * sizes.top_k, MOST_PAIRS);
  for (var pair = thread; pair < pairs; pair += 64u) { slots[pair] = table[ids[pair]]; }
  workgroupBarrier();
  for (var pair = thread; pair < pairs; pair += 64u) {
    let slot = slots[pair];
    var before = 0u;
    for (var i = 0u; i < pair; i++) { before += u32(slots[i] == slot); }
    heads[pair] = select(NONE, slot, before % TILE == 0u);
  }
  workgroupBarrier();
  for (var pair = thread; pair < pairs; pair += 64u) {
    let slot = slots[pair];
    if (slot == NONE) { continue; }
    var before = 0u;
    var all = 0u;
    for (var i = 0u; i < pairs; i++) {
      let same = u32(slots[i] == slot);
      all += same;
      before += select(0u, same, i < pair);
    }
    let place = before % TILE;
    let at = tile_at(heads_below(slot, pairs) + before / TILE);
    if (place == 0u) {
      list[at] = slot;
      list[at + 1u] = min(all - before, TILE);
    }
    // The last pair of a tile stands in for those that it lacks.
    let end = select(place + 1u, TILE, before + 1u == all);
    for (var i = place; i < end; i++) { list[at + 4u + i] = pair; }
  }
  for (var chunk = thread; chunk < sizes.chunks; chunk += 64u) {
    list[chunk] = heads_below(sizes.ends[chunk / 4u][chunk % 4u], pairs);
  }
}
