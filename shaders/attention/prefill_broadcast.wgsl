// prefill.wgsl for subgroups of 8 threads on a CPU, where a load costs far more than a multiplication: a workgroup of 8
// threads takes 8 queries, rows of one segment (x) with all heads of one key head (y), and walks over the keys by four. A head
// is cut among the threads (slice.wgsl): queries and sums stay in their registers, and no thread waits. What is known of a
// single query, its scores, weights, maximum and total, is kept by the thread of the same number.

override COUNT: u32;       // queries of whole rows, at most 8

const TILE_QUERIES: u32 = 8u;

// A query past the end of the segment repeats the last row's and is not stored.
fn row_of(tile: Tile, query: u32) -> u32 {
  return min(tile.first_row + query / (HEADS / KV_HEADS), tile.end_row - 1u);
}

fn query_of(tile: Tile, kv_head: u32, query: u32, thread: u32) -> Slice {
  let share = HEADS / KV_HEADS;
  return query_slice((row_of(tile, query) * HEADS + kv_head * share + query % share) * (D / 4u), thread);
}

fn store_query(tile: Tile, kv_head: u32, query: u32, thread: u32, sum: Slice, total: f32) {
  if (thread >= D / 8u) { return; }
  store(query, Place(tile, kv_head, 2u * thread), sum.a / total, sum.b / total);
  if (D > 64u) { store(query, Place(tile, kv_head, 2u * thread + 16u), sum.c / total, sum.d / total); }
  if (D > 128u) {
    store(query, Place(tile, kv_head, 2u * thread + 32u), sum.e / total, sum.f / total);
    store(query, Place(tile, kv_head, 2u * thread + 48u), sum.g / total, sum.h / total);
  }
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) thread: u32,
) {
  if (step.stopped != 0u) { return; }
  // Later rows see more keys: early and late tiles take turns, so that every stretch of the grid costs the same.
  let x = select(group.x / 2u, grid.x - 1u - group.x / 2u, group.x % 2u == 1u);
  let tile = find_tile(x, TILE_QUERIES / (HEADS / KV_HEADS));
  if (tile.end_row == 0u) { return; }
  let segment = segments[tile.segment];
  if (segment.arena != ARENA) { return; }
  let kv_head = group.y;
  let end = rows[row_of(tile, COUNT - 1u)].cache_index + 1u;
  let visible = rows[row_of(tile, thread)].cache_index;
  var queries = Queries();
  for (var i = 0u; i < COUNT; i++) { queries = with_slice(queries, i, query_of(tile, kv_head, i, thread)); }
  var most = LOWEST;
  var total = 0.0;
  var sums = Queries();
  for (var token = 0u; token < end; token += 4u) {
    // Cache entries from `end` on were never written: the last valid one stands in, with a weight of zero.
    let offsets = vec4<u32>(0u, 1u, 2u, 3u);
    let steps = min(offsets, vec4<u32>(end - 1u - token)) * (D / 8u);
    let at = octets_at(segment, kv_head, token) + first_octet(thread);
    let known = scores_of(queries, key_slices(at, steps), thread);
    let scores = select(vec4<f32>(LOWEST), known, token + offsets <= vec4<u32>(visible));
    let before = most;
    most = max(max(before, max(scores.x, scores.y)), max(scores.z, scores.w));
    let fade = exp(before - most);
    let weights = exp(scores - most);
    total = fma(fade, total, (weights.x + weights.y) + (weights.z + weights.w));
    sums = add_weighed(sums, fade, weights, value_slices(at, steps));
  }
  for (var query = 0u; query < COUNT; query++) {
    store_query(tile, kv_head, query, thread, slice_of(sums, query), subgroupShuffle(total, query));
  }
}
