// moe_route.wgsl for subgroups of 8 threads on a CPU: one workgroup of 8 threads a row, of which none waits. A thread goes
// through an eighth of the experts for every rank, and all of them know what was chosen.

var<workgroup> chosen: array<f32, 256>; // [ranks, 8 threads]: a thread reads what it wrote

struct Choice { logit: f32, id: u32 }

// The better of a thread's choice and that of the thread whose number differs in one bit.
fn better(own: Choice, bit: u32) -> Choice {
  let logit = subgroupShuffleXor(own.logit, bit);
  let id = subgroupShuffleXor(own.id, bit);
  let is_better = before(logit, id, own.logit, own.id);
  return Choice(select(own.logit, logit, is_better), select(own.id, id, is_better));
}

// The best expert of the row that starts at `first` which comes after the last one chosen.
fn next_choice(first: u32, last: Choice, thread: u32) -> Choice {
  var best = Choice(0.0, NONE);
  for (var start = 0u; start < EXPERTS; start += 8u) {
    let id = min(start + thread, EXPERTS - 1u);
    let logit = logits[first + id];
    let is_next = last.id == NONE || before(last.logit, last.id, logit, id);
    let is_better = is_next && before(logit, id, best.logit, best.id);
    best = Choice(select(best.logit, logit, is_better), select(best.id, id, is_better));
  }
  best = better(better(better(best, 4u), 2u), 1u);
  // Logits that are NaN have no order: threads may differ, and the first one decides.
  return Choice(subgroupBroadcast(best.logit, 0u), subgroupBroadcast(best.id, 0u));
}

@compute @workgroup_size(8)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let row = group.x;
  // Another row may stop the step meanwhile: all threads go by what one of them saw.
  let stopped = subgroupBroadcast(atomicLoad(&step.stopped), 0u);
  if (row >= step.rows || (stopped != 0u && stopped != stop)) { return; }
  let first = row * (EXPERTS + 1u);
  let ranks = row * (TOP_K + 1u);
  var last = Choice(0.0, NONE);
  var most = 0.0;
  for (var rank = 0u; rank < TOP_K; rank++) {
    last = next_choice(first, last, thread);
    // As in moe_route.wgsl, any expert will do where there is no order.
    last.id = select(last.id, rank, last.id == NONE);
    if (rank == 0u) { most = last.logit; }
    chosen[rank * 8u + thread] = exp(last.logit - most);
    if (thread == 0u) {
      ids[ranks + rank] = last.id;
      if (table[last.id] == NONE) { atomicMax(&step.stopped, stop); }
    }
  }
  var sum = 0.0;
  for (var rank = 0u; rank < TOP_K; rank++) { sum += chosen[rank * 8u + thread]; }
  for (var rank = thread; rank < TOP_K; rank += 8u) { weights[ranks + rank] = chosen[rank * 8u + thread] / sum; }
  if (thread == 0u) {
    ids[ranks + TOP_K] = EXPERTS;
    weights[ranks + TOP_K] = sigmoid(logits[first + EXPERTS]);
  }
}
