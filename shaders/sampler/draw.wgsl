// The draw among the ids at or above the threshold, as a maximum of perturbed logits (Gumbel-max):
//   argmax (adjusted - most) / temperature - log(e), e exponential from a hash of (seed, position, id).
// winners [head rows, BLOCKS]: (key of the score, id), key 0 where a block has no id to draw.
// One workgroup draws in one block (x) of one row (y); equal scores go to the lower id. Temperature 0: score = adjusted.

@group(0) @binding(8) var<storage, read> cells: array<vec2<f32>>;
@group(0) @binding(9) var<storage, read> choices: array<Choice>;
@group(0) @binding(10) var<storage, read_write> winners: array<vec2<u32>>;

var<workgroup> best: array<vec2<u32>, 64>;

// The finaliser of MurmurHash3.
fn mix_bits(value: u32) -> u32 {
  var x = value;
  x = (x ^ (x >> 16u)) * 0x85ebca6bu;
  x = (x ^ (x >> 13u)) * 0xc2b2ae35u;
  return x ^ (x >> 16u);
}

// -log(1 - u) for u in (0, 1) with 32 bits: small values keep their relative precision, and they win.
fn exponential(bits: u32) -> f32 {
  let u = min((f32(bits) + 0.5) * 2.3283064365386963e-10, 0.99999994);
  if (u < 0.015625) { return u * (1.0 + u * (0.5 + u * (0.33333334 + u * 0.25))); }
  return -log(1.0 - u);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  if (step.stopped != 0u || row >= step.head_rows) { return; }
  let choice = choices[row];
  let slot = slot_of(row);
  let o = options[slot];
  let cell = group.x * CELLS + lane;
  let salt = mix_bits(rows[heads[row]].cache_index ^ mix_bits(o.seed));
  let pepper = mix_bits(salt ^ 0x9e3779b9u);
  var mine = vec2(0u, 0u);
  if (choice.bad == 0u && key_of(cells[row * BLOCKS * CELLS + cell].y) >= choice.threshold) {
    for (var i = 0u; i < CELL_IDS; i++) {
      let id = first_id(cell) + i * CELLS;
      if (id >= min(o.real_vocab, V)) { break; }
      let x = adjusted(logits[row * V + id], slot, id, o.flags);
      if (key_of(x) < choice.threshold) { continue; }
      var score = x;
      if (o.temperature > 0.0) {
        let noise = exponential(mix_bits(mix_bits(id ^ salt) + pepper));
        score = (x - choice.most) / o.temperature - log(noise);
      }
      let candidate = vec2(key_of(score), id);
      if (better(candidate, mine)) { mine = candidate; }
    }
  }
  best[lane] = mine;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (lane < half && better(best[lane + half], best[lane])) { best[lane] = best[lane + half]; }
    workgroupBarrier();
  }
  if (lane == 0u) { winners[row * BLOCKS + group.x] = best[0]; }
}
