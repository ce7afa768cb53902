// Which slots the experts of a step take: the wave `sizes.wave` of those that the step's rows chose, as many as fit.
// The first wave takes all that have a slot and the first of those that have none, every further wave as many more of
// these as there are slots, all by id. An expert without a slot takes the lowest free one, else the one whose expert
// was used longest ago and is not of this wave. Then the wave's experts count as used, by id.
//   ids u32 [rows, RANKS]; the shared expert, id EXPERTS, is not paged
//   places u32 [EXPERTS + 1]: where each expert lies in host memory; NONE: it cannot be had, its pairs are left out
//   table u32 [EXPERTS + 1]: slot of each expert of the wave, NONE for the others; the shared one is of the first wave
//   state u32: clock, holder [SLOTS], last use [SLOTS], left for a later wave [EXPERTS]
//   fills u32: how many, then (place, slot) of each expert to be copied
//   counters u32: hits, misses, evictions, waves of steps with misses
// One workgroup for all rows.

override EXPERTS: u32; // at most 65535
override SLOTS: u32;
override RANKS: u32;   // experts of a row, the shared one last

struct Sizes {
  wave: u32,
  shared_slot: u32, // NONE where the shared expert is not in a slot
}

@group(0) @binding(0) var<storage, read_write> step: Step;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> places: array<u32>;
@group(0) @binding(3) var<storage, read_write> table: array<u32>;
@group(0) @binding(4) var<storage, read_write> state: array<u32>;
@group(0) @binding(5) var<storage, read_write> fills: array<u32>;
@group(0) @binding(6) var<storage, read_write> counters: array<u32>;
@group(0) @binding(7) var<uniform> sizes: Sizes;

const LANES: u32 = 256u;
const HOLDER: u32 = 1u;

var<workgroup> rows: u32;
var<workgroup> clock: u32;
var<workgroup> needed: array<atomic<u32>, EXPERTS>;
var<workgroup> slot_of: array<u32, EXPERTS>;
var<workgroup> holder: array<u32, SLOTS>;
var<workgroup> last_use: array<u32, SLOTS>;
var<workgroup> keys: array<u32, SLOTS>;
var<workgroup> missing: array<u32, SLOTS>; // those that this wave copies, by id
var<workgroup> scan: array<u32, LANES>;    // hits, misses << 16
var<workgroup> evictions: atomic<u32>;

// How many of `keys` are lower; they differ, but for those that are NONE.
fn lower(key: u32) -> u32 {
  var count = 0u;
  for (var slot = 0u; slot < SLOTS; slot++) { count += u32(keys[slot] < key); }
  return count;
}

// Numbers the last uses anew, in their order, before the clock runs over.
fn rewind(lane: u32) {
  for (var slot = lane; slot < SLOTS; slot += LANES) {
    keys[slot] = select(last_use[slot], NONE, holder[slot] == NONE);
  }
  workgroupBarrier();
  for (var slot = lane; slot < SLOTS; slot += LANES) {
    last_use[slot] = SLOTS + 1u + lower(keys[slot]);
  }
  if (lane == 0u) { clock = 2u * SLOTS + 1u; }
  workgroupBarrier();
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
  if (lane == 0u) {
    rows = select(step.rows, 0u, step.stopped != 0u);
    clock = state[0];
  }
  let row_count = workgroupUniformLoad(&rows);
  if (row_count == 0u) { return; }
  let first_wave = sizes.wave == 0u;
  let waves = (min(EXPERTS, row_count * (RANKS - 1u)) + SLOTS - 1u) / SLOTS;
  for (var expert = lane; expert < EXPERTS; expert += LANES) {
    slot_of[expert] = NONE;
    atomicStore(&needed[expert], select(state[HOLDER + 2u * SLOTS + expert], 0u, first_wave));
  }
  workgroupBarrier();
  for (var slot = lane; slot < SLOTS; slot += LANES) {
    let expert = state[HOLDER + slot];
    holder[slot] = expert;
    last_use[slot] = state[HOLDER + SLOTS + slot];
    if (expert != NONE) { slot_of[expert] = slot; }
  }
  if (first_wave) {
    for (var pair = lane; pair < row_count * RANKS; pair += LANES) {
      let expert = ids[pair];
      if (expert < EXPERTS && places[expert] != NONE) { atomicStore(&needed[expert], 1u); }
    }
  }
  if (workgroupUniformLoad(&clock) > NONE - 1u - EXPERTS) { rewind(lane); }
  workgroupBarrier();

  // How many hits and misses have lower ids.
  let stretch = (EXPERTS + LANES - 1u) / LANES;
  let start = min(lane * stretch, EXPERTS);
  let end = min(start + stretch, EXPERTS);
  var mine = 0u;
  for (var expert = start; expert < end; expert++) {
    if (atomicLoad(&needed[expert]) != 0u) { mine += select(1u, 0x10000u, slot_of[expert] == NONE); }
  }
  scan[lane] = mine;
  workgroupBarrier();
  for (var distance = 1u; distance < LANES; distance <<= 1u) {
    let before = select(0u, scan[max(lane, distance) - distance], lane >= distance);
    workgroupBarrier();
    scan[lane] += before;
    workgroupBarrier();
  }
  let all_hits = workgroupUniformLoad(&scan[LANES - 1u]) & 0xffffu;
  let all_misses = workgroupUniformLoad(&scan[LANES - 1u]) >> 16u;
  let room = SLOTS - min(SLOTS, all_hits);
  let taken = min(all_misses, room);

  // What of them this wave takes, and the slots that may go to them.
  var hits = (scan[lane] - mine) & 0xffffu;
  var misses = (scan[lane] - mine) >> 16u;
  for (var expert = start; expert < end; expert++) {
    if (atomicLoad(&needed[expert]) == 0u || slot_of[expert] != NONE) { continue; }
    if (misses < taken) { missing[misses] = expert; }
    misses++;
  }
  for (var slot = lane; slot < SLOTS; slot += LANES) {
    let expert = holder[slot];
    if (expert == NONE) {
      keys[slot] = slot; // below the clock's first value
    } else {
      keys[slot] = select(last_use[slot], NONE, atomicLoad(&needed[expert]) != 0u);
    }
  }
  if (lane == 0u) {
    atomicStore(&evictions, 0u);
    fills[0] = taken;
  }
  workgroupBarrier();
  if (taken > 0u) {
    for (var slot = lane; slot < SLOTS; slot += LANES) {
      if (keys[slot] == NONE) { continue; }
      let index = lower(keys[slot]);
      if (index >= taken) { continue; }
      let expert = missing[index];
      if (holder[slot] != NONE) {
        slot_of[holder[slot]] = NONE;
        atomicAdd(&evictions, 1u);
      }
      holder[slot] = expert;
      slot_of[expert] = slot;
      fills[1u + 2u * index] = places[expert];
      fills[2u + 2u * index] = slot;
    }
    workgroupBarrier();
  }

  // The wave's experts are used, in the order of their ids.
  misses = (scan[lane] - mine) >> 16u;
  for (var expert = start; expert < end; expert++) {
    let wanted = atomicLoad(&needed[expert]) != 0u;
    let slot = slot_of[expert];
    let here = wanted && slot != NONE;
    table[expert] = select(NONE, slot, here);
    state[HOLDER + 2u * SLOTS + expert] = u32(wanted && !here);
    if (!here) { continue; }
    last_use[slot] = clock + 1u + hits + min(misses, taken);
    if (misses < taken && missing[misses] == expert) { misses++; } else { hits++; }
  }
  workgroupBarrier();
  for (var slot = lane; slot < SLOTS; slot += LANES) {
    state[HOLDER + slot] = holder[slot];
    state[HOLDER + SLOTS + slot] = last_use[slot];
  }
  if (lane > 0u) { return; }
  state[0] = clock + all_hits + taken;
  table[EXPERTS] = select(NONE, sizes.shared_slot, first_wave);
  step.more_waves = u32(sizes.wave + 1u < waves);
  counters[0] += all_hits;
  counters[1] += taken;
  counters[2] += atomicLoad(&evictions);
  counters[3] += u32(all_misses > 0u);
}
