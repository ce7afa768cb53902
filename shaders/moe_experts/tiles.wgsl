// Cuts the lists of the experts that have a slot into tiles: counts of groups.wgsl -> tiles and their number.
// One workgroup; each lane has a stretch of the experts.

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> table: array<u32>;
@group(0) @binding(2) var<storage, read_write> groups: array<u32>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

var<workgroup> counts: array<u32, 64>;

fn tiles_of(expert: u32) -> u32 {
  return select((groups[count_at(expert)] + TILE_PAIRS - 1u) / TILE_PAIRS, 0u, table[expert] == NONE);
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) lane: u32) {
  if (step.stopped != 0u) { return; }
  let stretch = (sizes.experts + 63u) / 64u;
  let start = min(lane * stretch, sizes.experts);
  let end = min(start + stretch, sizes.experts);
  var count = 0u;
  for (var expert = start; expert < end; expert++) { count += tiles_of(expert); }
  counts[lane] = count;
  workgroupBarrier();
  var tile = 0u;
  var total = 0u;
  for (var i = 0u; i < 64u; i++) {
    tile += select(0u, counts[i], i < lane);
    total += counts[i];
  }
  if (lane == 0u) { groups[0] = total; }
  for (var expert = start; expert < end; expert++) {
    let tiles = tiles_of(expert);
    for (var i = 0u; i < tiles; i++) {
      groups[tiles_at(tile)] = expert;
      groups[tiles_at(tile) + 1u] = i * TILE_PAIRS;
      groups[tiles_at(tile) + 2u] = min(groups[count_at(expert)] - i * TILE_PAIRS, TILE_PAIRS);
      tile++;
    }
  }
}
