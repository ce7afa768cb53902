// The best of the blocks' winners, its log-probability, and its place in the slot's counts.
// winners [head rows, BLOCKS], choices [head rows]: see draw.wgsl and options.wgsl; logits [head rows, V] f32.
// forced [head rows]: 0, or 1 + the id to report instead of a drawn one. counts [slots, V].
// samples [head rows, 44 words]: id, log-probability, 1 if a logit was not finite, then what `select` wrote.
// One workgroup finishes one row (x).

override V: u32;
override BLOCKS: u32;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read> segments: array<Segment>;
@group(0) @binding(3) var<storage, read> heads: array<u32>;
@group(0) @binding(4) var<storage, read> options: array<Options>;
@group(0) @binding(5) var<storage, read> logits: array<f32>;
@group(0) @binding(6) var<storage, read> choices: array<Choice>;
@group(0) @binding(7) var<storage, read> winners: array<vec2<u32>>;
@group(0) @binding(8) var<storage, read> forced: array<u32>;
@group(0) @binding(9) var<storage, read_write> counts: array<atomic<u32>>;
@group(0) @binding(10) var<storage, read_write> samples: array<u32>;

const SAMPLE_WORDS: u32 = 44u;

var<workgroup> best: array<vec2<u32>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  if (step.stopped != 0u || row >= step.head_rows) { return; }
  var mine = vec2(0u, 0u);
  for (var i = lane; i < BLOCKS; i += 64u) {
    let winner = winners[row * BLOCKS + i];
    if (better(winner, mine)) { mine = winner; }
  }
  best[lane] = mine;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (lane < half && better(best[lane + half], best[lane])) { best[lane] = best[lane + half]; }
    workgroupBarrier();
  }
  if (lane != 0u) { return; }
  let choice = choices[row];
  let slot = segments[rows[heads[row]].segment].sampler;
  let given = forced[row];
  let id = select(best[0].y, given - 1u, given != 0u);
  samples[row * SAMPLE_WORDS] = id;
  samples[row * SAMPLE_WORDS + 1u] = bitcast<u32>(logits[row * V + id] - choice.log_total);
  samples[row * SAMPLE_WORDS + 2u] = choice.bad;
  if (given == 0u && choice.bad == 0u && (options[slot].flags & PENALISED) != 0u) {
    atomicAdd(&counts[slot * V + id], 1u);
  }
}
