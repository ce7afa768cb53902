// decode.wgsl for subgroups of 8 threads on a CPU, where a load costs far more than a multiplication: a workgroup of 8
// threads takes one split (x) for up to 8 query heads of one key head (y) of one row (z), four tokens at a time. A head is cut
// among the threads (slice.wgsl): queries and sums stay in their registers, keys and values are read once, no thread waits.

override COUNT: u32;       // query heads of a workgroup, at most 8

fn store_slice(to: u32, thread: u32, sum: Slice) {
  if (thread >= D / 8u) { return; }
  let at = to * (D / 4u) + 2u * thread;
  sums[at] = sum.a;
  sums[at + 1u] = sum.b;
  if (D > 64u) {
    sums[at + 16u] = sum.c;
    sums[at + 17u] = sum.d;
  }
  if (D > 128u) {
    sums[at + 32u] = sum.e;
    sums[at + 33u] = sum.f;
    sums[at + 48u] = sum.g;
    sums[at + 49u] = sum.h;
  }
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.z;
  if (step.stopped != 0u || row >= step.rows) { return; }
  let segment = segments[rows[row].segment];
  let context = rows[row].cache_index + 1u;
  let split = split_tokens(context);
  let first = group.x * split;
  if (segment.arena != ARENA || first >= context) { return; }
  let end = min(first + split, context);
  let blocks = (GROUP + COUNT - 1u) / COUNT;
  let kv_head = group.y / blocks;
  let first_head = group.y % blocks * COUNT;
  let heads = KV_HEADS * GROUP;

  // A last block may be short: it has zeros for the heads that it lacks.
  let count = min(COUNT, GROUP - first_head);
  let start = row * heads + kv_head * GROUP + first_head;
  var queries = Queries();
  for (var i = 0u; i < count; i++) { queries = with_slice(queries, i, query_slice((start + i) * (D / 4u), thread)); }
  var most = LOWEST;
  var total = 0.0;
  var sums_of = Queries();
  for (var token = first; token < end; token += 4u) {
    // Tokens from `end` on were never written: the last valid one stands in, with a weight of zero.
    let offsets = vec4<u32>(0u, 1u, 2u, 3u);
    let steps = min(offsets, vec4<u32>(end - 1u - token)) * (D / 8u);
    let at = octets_at(segment, kv_head, token) + first_octet(thread);
    let known = scores_of(queries, key_slices(at, steps), thread);
    let scores = select(vec4<f32>(LOWEST), known, token + offsets < vec4<u32>(end));
    let before = most;
    most = max(max(before, max(scores.x, scores.y)), max(scores.z, scores.w));
    let fade = exp(before - most);
    let weights = exp(scores - most);
    total = fma(fade, total, (weights.x + weights.y) + (weights.z + weights.w));
    sums_of = add_weighed(sums_of, fade, weights, value_slices(at, steps));
  }

  let out = (row * SPLITS + group.x) * heads + kv_head * GROUP + first_head;
  if (thread < count) { totals[out + thread] = vec2<f32>(most, total); }
  for (var i = 0u; i < count; i++) { store_slice(out + i, thread, slice_of(sums_of, i)); }
}
