// Exact search for the lowest logit that is kept, over the ordered keys of a row's adjusted logits: the highest key whose
// ids and those above weigh at least a goal. Equal logits stay together. Each round weighs 16 candidates at once; a cell
// whose highest logit is below all of them is not read again. The kernel declares `cells`.

const THREADS: u32 = 256u;

// What is weighed: a cell's highest logit as 1, an id as 1, an id by its probability.
const WEIGH_CELLS: u32 = 0u;
const WEIGH_IDS: u32 = 1u;
const WEIGH_PROBABILITY: u32 = 2u;

var<workgroup> weights: array<vec4<f32>, 1024>; // [4, THREADS]
var<workgroup> found: u32;
var<workgroup> goal: f32;

// What stays the same throughout a row, and for all threads: compilers that look for barriers which not all reach can tell.
struct Head {
  row: u32,
  slot: u32,
  flags: u32,
  real: u32,
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
fn weights_of(r: Head, lane: u32, what: u32, low: u32, width: u32) -> Weights {
  var sums = Weights(vec4(0.0), vec4(0.0), vec4(0.0), vec4(0.0));
  for (var cell = lane; cell < BLOCKS * CELLS; cell += THREADS) {
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
fn search_key(r: Head, lane: u32, what: u32, start: u32, wanted: f32, share: f32) -> u32 {
  var low = start;
  var size = key_of(r.most) + 1u - start;
  if (lane == 0u) { goal = wanted; }
  workgroupBarrier();
  for (var round = 0u; round < 9u; round++) {
    let width = (size + 15u) / 16u;
    let j = reached(lane, weights_of(r, lane, what, low, width), select(0.0, share, round == 0u));
    low += j * width;
    size = min(width, size - j * width);
    if (width == 1u) { break; }
  }
  return low;
}
