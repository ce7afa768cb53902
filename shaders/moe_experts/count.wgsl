// Lists the pairs of each expert in ascending order: ids u32 [rows, top_k] -> counts and pairs of groups.wgsl.
// One workgroup an expert; each lane goes through its own stretch of the ids, twice: to count, then to write.

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read_write> groups: array<u32>;
@group(0) @binding(3) var<uniform> sizes: Sizes;

var<workgroup> counts: array<u32, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let expert = group.x;
  if (step.stopped != 0u || expert >= sizes.experts) { return; }
  let pairs = step.rows * sizes.top_k;
  let stretch = (pairs + 63u) / 64u;
  let start = min(lane * stretch, pairs);
  let end = min(start + stretch, pairs);
  var count = 0u;
  for (var pair = start; pair < end; pair++) { count += u32(ids[pair] == expert); }
  counts[lane] = count;
  workgroupBarrier();
  var place = 0u;
  var total = 0u;
  for (var i = 0u; i < 64u; i++) {
    place += select(0u, counts[i], i < lane);
    total += counts[i];
  }
  if (lane == 0u) { groups[count_at(expert)] = min(total, sizes.capacity); }
  for (var pair = start; pair < end; pair++) {
    if (ids[pair] == expert) {
      if (place < sizes.capacity) { groups[pairs_at(expert) + place] = pair; }
      place++;
    }
  }
}
