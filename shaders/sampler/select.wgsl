// From the first pass to what may be drawn: thresholds of top-k, top-p and min-p over adjusted logits, found exactly by
// searching the ordered keys, and the list of the most probable ids under the raw logits.
// A threshold is the highest key whose ids and those above weigh at least the goal; equal logits stay together.
// Each round weighs 16 candidates at once; a cell whose highest logit is below all of them is not read again.
// cells, blocks: see scan.wgsl. choices [head rows]; samples [head rows, 44 words]: see layout.ts.
// One workgroup does one row (x). All sums have one order: equal rows give equal bits in any batch.

@group(0) @binding(8) var<storage, read> cells: array<vec2<f32>>;
@group(0) @binding(9) var<storage, read> blocks: array<vec4<f32>>;
@group(0) @binding(10) var<storage, read_write> choices: array<Choice>;
@group(0) @binding(11) var<storage, read_write> samples: array<u32>;

const THREADS: u32 = 256u;
const SAMPLE_WORDS: u32 = 44u;
const TOP: u32 = 20u;

// What is weighed: a cell's highest logit as 1, an id as 1, an id by its probability.
const WEIGH_CELLS: u32 = 0u;
const WEIGH_IDS: u32 = 1u;
const WEIGH_PROBABILITY: u32 = 2u;

var<workgroup> weights: array<vec4<f32>, 1024>; // [4, THREADS]
var<workgroup> pairs: array<vec2<u32>, 256>;
var<workgroup> found: u32;
var<workgroup> goal: f32;

// What stays the same throughout a row.
struct Head {
  row: u32,
  slot: u32,
  flags: u32,
  real: u32,
  lane: u32,
  most: f32,  // highest adjusted logit
  scale: f32, // 1 / temperature
}

struct Weights { a: vec4<f32>, b: vec4<f32>, c: vec4<f32>, d: vec4<f32> }

fn weigh(sums: ptr<function, Weights>, key: u32, weight: f32, low: u32, width: u32) {
  let at = vec4(key);
  let first = low + width * vec4(0u, 1u, 2u, 3u);
  (*sums).a += select(vec4(0.0), vec4(weight), at >= first);
  (*sums).b += select(vec4(0.0), vec4(weight), at >= first + 4u * width);
  (*sums).c += select(vec4(0.0), vec4(weight), at >= first + 8u * width);
  (*sums).d += select(vec4(0.0), vec4(weight), at >= first + 12u * width);
}

// This thread's weights at or above low + j width, j = 0 .. 15.
fn weights_of(r: Head, what: u32, low: u32, width: u32) -> Weights {
  var sums = Weights(vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0));
  for (var cell = r.lane; cell < BLOCKS * CELLS; cell += THREADS) {
    let highest = key_of(cells[r.row * BLOCKS * CELLS + cell].y);
    if (highest < low) { continue; }
    if (what == WEIGH_CELLS) {
      weigh(&sums, highest, 1.0, low, width);
      continue;
    }
    for (var i = 0u; i < CELL_IDS; i++) {
      let id = first_id(cell) + i * CELLS;
      if (id >= r.real) { break; }
      let x = adjusted(logits[r.row * V + id], r.slot, id, r.flags);
      let weight = select(exp((x - r.most) * r.scale), 1.0, what == WEIGH_IDS);
      weigh(&sums, key_of(x), weight, low, width);
    }
  }
  return sums;
}

// The highest j whose summed weight reaches the goal; 0 if none does. `share` of the first weight becomes the goal, if not 0.
fn reached(lane: u32, sums: Weights, share: f32) -> u32 {
  weights[lane] = sums.a;
  weights[THREADS + lane] = sums.b;
  weights[2u * THREADS + lane] = sums.c;
  weights[3u * THREADS + lane] = sums.d;
  workgroupBarrier();
  if (lane < 64u) {
    var sum = weights[lane * 16u];
    for (var i = 1u; i < 16u; i++) { sum += weights[lane * 16u + i]; }
    weights[lane * 16u] = sum;
  }
  workgroupBarrier();
  if (lane < 4u) {
    var sum = weights[lane * THREADS];
    for (var i = 16u; i < THREADS; i += 16u) { sum += weights[lane * THREADS + i]; }
    weights[lane * THREADS] = sum;
  }
  workgroupBarrier();
  if (lane == 0u) {
    if (share > 0.0) { goal = share * weights[0].x; }
    var most = 0u;
    for (var j = 1u; j < 16u; j++) {
      if (weights[j / 4u * THREADS][j % 4u] >= goal) { most = j; }
    }
    found = most;
  }
  return workgroupUniformLoad(&found);
}

// The highest key of at least `low` whose weight and that above reaches `wanted`, or `share` of all from `low` on.
fn search_key(r: Head, what: u32, start: u32, wanted: f32, share: f32) -> u32 {
  var low = start;
  var size = key_of(r.most) + 1u - start;
  if (r.lane == 0u) { goal = wanted; }
  workgroupBarrier();
  for (var round = 0u; round < 9u; round++) {
    let width = (size + 15u) / 16u;
    let j = reached(r.lane, weights_of(r, what, low, width), select(0.0, share, round == 0u));
    low += j * width;
    size = min(width, size - j * width);
    if (width == 1u) { break; }
  }
  return low;
}

fn better(a: vec2<u32>, b: vec2<u32>) -> bool {
  return a.x > b.x || (a.x == b.x && a.y < b.y);
}

// This thread's best (key, id) by raw logit that comes after `last`; key 0 if there is none.
fn next_listed(r: Head, last: vec2<u32>) -> vec2<u32> {
  var best = vec2(0u, 0u);
  for (var cell = r.lane; cell < BLOCKS * CELLS; cell += THREADS) {
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

fn list(r: Head, count: u32, log_total: f32) {
  var last = vec2(0xffffffffu, 0u);
  var mine = next_listed(r, last);
  var listed = 0u;
  for (; listed < count; listed++) {
    pairs[r.lane] = mine;
    workgroupBarrier();
    for (var half = THREADS / 2u; half > 0u; half >>= 1u) {
      if (r.lane < half && better(pairs[r.lane + half], pairs[r.lane])) { pairs[r.lane] = pairs[r.lane + half]; }
      workgroupBarrier();
    }
    last = workgroupUniformLoad(&pairs[0]);
    if (last.x == 0u) { break; }
    if (r.lane == 0u) {
      samples[r.row * SAMPLE_WORDS + 4u + listed] = last.y;
      samples[r.row * SAMPLE_WORDS + 4u + TOP + listed] = bitcast<u32>(value_of(last.x) - log_total);
    }
    if (cell_of(last.y) % THREADS == r.lane) { mine = next_listed(r, last); }
  }
  if (r.lane == 0u) { samples[r.row * SAMPLE_WORDS + 3u] = listed; }
}

fn threshold_of(r: Head, spread: f32) -> u32 {
  let o = options[r.slot];
  if (o.temperature <= 0.0) { return key_of(r.most); }
  var threshold = 0u;
  if (o.top_k > 0u && o.top_k < r.real) {
    // The k-th highest cell is a lower bound: that many cells hold an id at least as high.
    let bound = search_key(r, WEIGH_CELLS, 0u, f32(o.top_k), 0.0);
    threshold = search_key(r, WEIGH_IDS, bound, f32(o.top_k), 0.0);
  }
  if (o.top_p < 1.0) {
    var start = threshold;
    var wanted = 0.0;
    if (threshold == 0u) {
      // Ids below this weigh less than 1 - top_p together, however many there are.
      let bound = r.most + o.temperature * log(spread * (1.0 - o.top_p) / f32(V));
      start = max(1u, key_of(bound) - 64u);
      wanted = spread * o.top_p;
    }
    threshold = search_key(r, WEIGH_PROBABILITY, start, wanted, select(0.0, o.top_p, threshold != 0u));
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
  let r = Head(row, slot, options[slot].flags, min(options[slot].real_vocab, V), lane, most.z, scale);
  if (bad != 0u) {
    if (lane == 0u) {
      choices[row] = Choice(0u, 0.0, 0.0, 1u);
      samples[row * SAMPLE_WORDS + 3u] = 0u;
    }
    return;
  }
  let threshold = threshold_of(r, spread);
  if (lane == 0u) { choices[row] = Choice(threshold, most.z, log_total, 0u); }
  list(r, min(options[slot].top, TOP), log_total);
}
