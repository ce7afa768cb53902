// From one decode step of one row a sequence to the next: each sampled id becomes the next row's input, one place further on.
// A sequence ends at a stop id, at its limit, or at logits that are not numbers: its row then stays behind its last token,
// still computed (the place is its own and counts for nothing), but its recurrent state is no longer written.
// Once all have ended, the step is marked as stopped, so that what was submitted behind it returns at once.
// samples [segments, SAMPLE_WORDS]: id, log-probability, 1 if bad, ...; limits [segments]; ids u32 [segments]: the next input.
// One workgroup does it all; row i is the only row of segment i, and head row i.

override SAMPLE_WORDS: u32;

const STOP_IDS: u32 = 30u;

struct Limit {
  left: u32,       // tokens that the sequence may still get; 0: it has ended
  stop_count: u32,
  stop_ids: array<u32, 30>,
}

@group(0) @binding(0) var<storage, read_write> step: Step;
@group(0) @binding(1) var<storage, read_write> rows: array<Row>;
@group(0) @binding(2) var<storage, read_write> segments: array<Segment>;
@group(0) @binding(3) var<storage, read> samples: array<u32>;
@group(0) @binding(4) var<storage, read_write> limits: array<Limit>;
@group(0) @binding(5) var<storage, read_write> ids: array<u32>;

var<workgroup> running: atomic<u32>;

fn is_stop(i: u32, id: u32) -> bool {
  for (var s = 0u; s < min(limits[i].stop_count, STOP_IDS); s++) {
    if (limits[i].stop_ids[s] == id) { return true; }
  }
  return false;
}

// Whether sequence i goes on.
fn advance(i: u32) -> bool {
  if (limits[i].left == 0u) { return false; }
  let id = samples[i * SAMPLE_WORDS];
  let bad = samples[i * SAMPLE_WORDS + 2u] != 0u;
  let ends = bad || limits[i].left == 1u || is_stop(i, id);
  limits[i].left = select(limits[i].left - 1u, 0u, ends);
  ids[i] = id;
  rows[i].token = id;
  rows[i].cache_index += 1u;
  segments[i].context += 1u;
  segments[i].state_read = segments[i].state_write;
  if (ends) { segments[i].state_write = NONE; }
  return !ends;
}

@compute @workgroup_size(16)
fn main(@builtin(local_invocation_index) lane: u32) {
  let stopped = step.stopped != 0u;
  if (!stopped && lane < step.segments && advance(lane)) { atomicAdd(&running, 1u); }
  workgroupBarrier();
  if (lane == 0u && !stopped && atomicLoad(&running) == 0u) { step.stopped = NONE; }
}
