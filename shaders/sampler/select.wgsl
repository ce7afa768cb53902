// From the first pass to what may be drawn: the thresholds of top-k, top-p and min-p over adjusted logits (search.wgsl),
// and the list of the most probable ids under the raw logits.
// cells, blocks: see scan.wgsl. choices [head rows]; samples [head rows, 44 words]: see layout.ts.
// One workgroup does one row (x). All sums have one order: equal rows give equal bits in any batch.

@group(0) @binding(8) var<storage, read> cells: array<vec2<f32>>;
@group(0) @binding(9) var<storage, read> blocks: array<vec4<f32>>;
@group(0) @binding(10) var<storage, read_write> choices: array<Choice>;
@group(0) @binding(11) var<storage, read_write> samples: array<u32>;

const SAMPLE_WORDS: u32 = 44u;
const TOP: u32 = 20u;

var<workgroup> pairs: array<vec2<u32>, 256>;

// This thread's best (key, id) by raw logit that comes after `last`; key 0 if there is none.
fn next_listed(r: Head, lane: u32, last: vec2<u32>) -> vec2<u32> {
  var best = vec2(0u, 0u);
  for (var cell = lane; cell < BLOCKS * CELLS; cell += THREADS) {
    if (key_of(cells[r.row * BLOCKS * CELLS + cell].x) < best.x) { continue; }
    for (var i = 0u; i < CELL_IDS; i++) {
      let id = first_id(cell) + i * CELLS;
      if (id >= r.real) { break; }
      let candidate = vec2(key_of(logits[r.row * V + id]), id);
      if (better(last, candidate) && better(candidate, best)) { best = candidate; }
    }
  }
  return best;
}

fn list(r: Head, lane: u32, count: u32, log_total: f32) {
  var last = vec2(0xffffffffu, 0u);
  var mine = vec2<u32>();
  var is_taken = true; // mine, as the last listed
  var listed = 0u;
  for (; listed < count; listed++) {
    if (is_taken) { mine = next_listed(r, lane, last); }
    pairs[lane] = mine;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
      if (lane < half && better(pairs[lane + half], pairs[lane])) { pairs[lane] = pairs[lane + half]; }
      workgroupBarrier();
    }
    last = workgroupUniformLoad(&pairs[0]);
    if (last.x == 0u) { break; }
    if (lane == 0u) {
      samples[r.row * SAMPLE_WORDS + 4u + listed] = last.y;
      samples[r.row * SAMPLE_WORDS + 4u + TOP + listed] = bitcast<u32>(value_of(last.x) - log_total);
    }
    is_taken = cell_of(last.y) % THREADS == lane;
  }
  if (lane == 0u) { samples[r.row * SAMPLE_WORDS + 3u] = listed; }
}

fn threshold_of(r: Head, lane: u32, spread: f32) -> u32 {
  let o = options[r.slot];
  if (o.temperature <= 0.0) { return key_of(r.most); }
  let has_k = o.top_k > 0u && o.top_k < r.real;
  var threshold = 0u;
  // For top-k first the cells, then the ids: the k-th highest cell is a lower bound, that many cells hold an id at least as
  // high. One search in a loop: drivers would compile a copy for each for long.
  for (var what = select(WEIGH_PROBABILITY, WEIGH_CELLS, has_k); what <= WEIGH_PROBABILITY; what++) {
    var start = threshold;
    var wanted = f32(o.top_k);
    var share = 0.0;
    if (what == WEIGH_PROBABILITY) {
      if (o.top_p >= 1.0) { break; }
      wanted = spread * o.top_p;
      share = select(0.0, o.top_p, has_k);
      if (!has_k) {
        // Ids below this weigh less than 1 - top_p together, however many there are.
        let bound = r.most + o.temperature * log(spread * (1.0 - o.top_p) / f32(V));
        start = max(1u, key_of(bound) - 64u);
      }
    }
    threshold = search_key(r, lane, what, start, wanted, share);
  }
  if (o.min_p > 0.0) { threshold = max(threshold, key_of(r.most + o.temperature * log(o.min_p))); }
  return min(threshold, key_of(r.most));
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  if (step.stopped != 0u || row >= step.head_rows) { return; }
  let slot = slot_of(row);
  let temperature = options[slot].temperature;
  let scale = select(0.0, 1.0 / temperature, temperature > 0.0);

  // Every thread goes over all blocks: at most some hundred, and the order is the same for all.
  var most = blocks[row * BLOCKS];
  for (var i = 1u; i < BLOCKS; i++) { most = max(most, blocks[row * BLOCKS + i]); }
  var total = 0.0;
  var spread = 0.0;
  var bad = 0u;
  for (var i = 0u; i < BLOCKS; i++) {
    let block = blocks[row * BLOCKS + i];
    if (block.y < 0.0) { bad = 1u; }
    total += exp(block.x - most.x) * block.y;
    spread += exp((block.z - most.z) * scale) * block.w;
  }
  let log_total = most.x + log(total);
  let r = Head(row, slot, options[slot].flags, min(options[slot].real_vocab, V), most.z, scale);
  if (bad != 0u) {
    if (lane == 0u) {
      choices[row] = Choice(0u, 0.0, 0.0, 1u);
      samples[row * SAMPLE_WORDS + 3u] = 0u;
    }
    return;
  }
  let threshold = threshold_of(r, lane, spread);
  if (lane == 0u) { choices[row] = Choice(threshold, most.z, log_total, 0u); }
  if (options[slot].top > 0u) {
    list(r, lane, min(options[slot].top, TOP), log_total);
  } else if (lane == 0u) {
    samples[row * SAMPLE_WORDS + 3u] = 0u;
  }
}
