// The TOP_K largest of each row's EXPERTS logits, best first, equal ones by lower id; weights are their softmax, which
// is the softmax over all experts renormalised. The shared expert follows them: id EXPERTS, weight sigmoid(the last logit).
// logits f32 [rows, EXPERTS + 1]; table u32 [EXPERTS + 1]: slot or NONE; ids u32, weights f32 [rows, TOP_K + 1].
// One workgroup a row (routing.wgsl has the buffers). A chosen expert without a slot stops the step at this layer; every row is still routed, so
// that the host finds all the ids it must bring.

var<workgroup> go: u32;
var<workgroup> best_logit: array<f32, 64>;
var<workgroup> best_id: array<u32, 64>;
var<workgroup> chosen: array<f32, 32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.x;
  if (lane == 0u) {
    let stopped = atomicLoad(&step.stopped);
    go = u32(row < step.rows && (stopped == 0u || stopped == stop));
  }
  if (workgroupUniformLoad(&go) == 0u) { return; }
  let first = row * (EXPERTS + 1u);
  let ranks = row * (TOP_K + 1u);
  var last = 0.0;
  var last_id = NONE;
  for (var rank = 0u; rank < TOP_K; rank++) {
    // The best of this lane's experts that comes after the last one chosen.
    var logit = 0.0;
    var id = NONE;
    for (var i = lane; i < EXPERTS; i += 64u) {
      let candidate = logits[first + i];
      if ((last_id == NONE || before(last, last_id, candidate, i)) && before(candidate, i, logit, id)) {
        logit = candidate;
        id = i;
      }
    }
    best_logit[lane] = logit;
    best_id[lane] = id;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half >>= 1u) {
      if (lane < half && before(best_logit[lane + half], best_id[lane + half], best_logit[lane], best_id[lane])) {
        best_logit[lane] = best_logit[lane + half];
        best_id[lane] = best_id[lane + half];
      }
      workgroupBarrier();
    }
    // Logits that are NaN have no order: any expert will do, the weights are NaN.
    last = best_logit[0];
    last_id = select(best_id[0], rank, best_id[0] == NONE);
    if (lane == 0u) {
      chosen[rank] = last;
      ids[ranks + rank] = last_id;
      if (table[last_id] == NONE) { atomicMax(&step.stopped, stop); }
    }
    workgroupBarrier();
  }
  if (lane < TOP_K) {
    var sum = 0.0;
    for (var rank = 0u; rank < TOP_K; rank++) { sum += exp(chosen[rank] - chosen[0]); }
    weights[ranks + lane] = exp(chosen[lane] - chosen[0]) / sum;
  }
  if (lane == 0u) {
    ids[ranks + TOP_K] = EXPERTS;
    weights[ranks + TOP_K] = sigmoid(logits[first + EXPERTS]);
  }
}
