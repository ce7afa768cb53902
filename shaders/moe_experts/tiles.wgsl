// Cuts the lists of the experts that have a slot into tiles: counts of groups.wgsl -> tiles, those of each chunk of the pool side
// by side, where they end, and how many workgroups they need. One workgroup; each lane has a stretch of the experts.

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> groups: array<u32>;
@group(0) @binding(3) var<uniform> sizes: Sizes;
@group(0) @binding(4) var<uniform> pool: ChunkSizes;

var<workgroup> counts: array<u32, 64>;

// How many tiles an expert has, if it has a slot from `first` on and before `end`.
fn tiles_of(expert: u32, first: u32, end: u32) -> u32 {
  let slot = table[expert];
  let tiles = (groups[count_at(expert)] + TILE_PAIRS - 1u) / TILE_PAIRS;
  return select(0u, tiles, slot >= first && slot < end && slot != NONE);
}

fn write_grid(at: u32, tiles: u32, groups_of_tile: u32) {
  groups[at] = tiles;
  groups[at + 1u] = groups_of_tile;
  groups[at + 2u] = 1u;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  // Of a step that has been stopped nothing is to be done: no tiles, hence no workgroups.
  let experts = select(sizes.experts, 0u, step.stopped != 0u);
  let stretch = (experts + 63u) / 64u;
  let start = min(lane * stretch, experts);
  let stop = min(start + stretch, experts);
  var before = 0u; // tiles of earlier chunks
  var first_slot = 0u;
  for (var chunk = 0u; chunk < pool.chunks; chunk++) {
    let end_slot = pool.ends[chunk / 4u][chunk % 4u];
    var count = 0u;
    for (var expert = start; expert < stop; expert++) { count += tiles_of(expert, first_slot, end_slot); }
    counts[lane] = count;
    workgroupBarrier();
    var tile = before;
    var total = 0u;
    for (var i = 0u; i < 64u; i++) {
      tile += select(0u, counts[i], i < lane);
      total += counts[i];
    }
    if (lane == 0u) {
      groups[chunk] = before + total;
      write_grid(tile_grid_at(chunk, 0u), total, pool.gate_up_groups);
      write_grid(tile_grid_at(chunk, 1u), total, pool.down_groups);
    }
    for (var expert = start; expert < stop; expert++) {
      let tiles = tiles_of(expert, first_slot, end_slot);
      for (var i = 0u; i < tiles; i++) {
        groups[tiles_at(tile)] = expert;
        groups[tiles_at(tile) + 1u] = i * TILE_PAIRS;
        groups[tiles_at(tile) + 2u] = min(groups[count_at(expert)] - i * TILE_PAIRS, TILE_PAIRS);
        tile++;
      }
    }
    before += total;
    first_slot = end_slot;
    workgroupBarrier();
  }
}
