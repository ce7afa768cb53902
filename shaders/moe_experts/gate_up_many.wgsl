// act[pair, i] = silu(sum_k gate[i, k] x[row, k]) * sum_k up[i, k] x[row, k], many rows: a workgroup makes 32
// elements of a tile of up to 32 pairs of one expert (groups.wgsl): its 64 outputs are 32 rows of gate, then 32 of up.
// table u32 [experts]; x f32 [rows, HIDDEN]; act f32 [rows, TOP_K, DFF]. Experts outside this chunk are left alone.

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> groups: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> codes: array<Codes>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> act: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (step.stopped != 0u || group.y >= groups[0]) { return; }
  let tile = tiles_at(group.y);
  let expert = groups[tile];
  let count = groups[tile + 2u];
  let slot = table[expert];
  if (!in_chunk(slot)) { return; }
  let list = pairs_at(expert) + groups[tile + 1u];
  let i0 = group.x * 32u;
  let units = HIDDEN / 16u;
  let row = min(i0 + thread % 32u, DFF - 1u);
  let up = thread >= 32u;
  let weights = (slot - FIRST_SLOT) * SLOT_UNITS + select(0u, UP_UNITS, up) + row * units;
  let first_scale = (slot - FIRST_SLOT) * SLOT_SCALES + select(GATE_SCALES, UP_SCALES, up);
  let across = (HIDDEN + 127u) / 128u;
  // Two of the tile's 128 quads of x a thread; pairs past the end repeat the last one and are not stored.
  let from_a = groups[list + min(thread / 4u, count - 1u)] / TOP_K * (HIDDEN / 4u) + thread % 4u;
  let from_b = groups[list + min(16u + thread / 4u, count - 1u)] / TOP_K * (HIDDEN / 4u) + thread % 4u;
  var sums = Sums();
  for (var unit = 0u; unit < units; unit++) {
    stage_weights(thread, decode(codes[weights + unit]), scale_of(first_scale, across, row, unit));
    stage_input(thread / 4u, thread % 4u, x[from_a + unit * 4u]);
    stage_input(16u + thread / 4u, thread % 4u, x[from_b + unit * 4u]);
    workgroupBarrier();
    sums = multiply_tiles(sums, thread);
    workgroupBarrier();
  }
  let place = thread / 8u;
  let i = i0 + thread % 8u;
  store(list, place, count, i, sums.a0, sums.a1);
  store(list, place + 8u, count, i, sums.b0, sums.b1);
  store(list, place + 16u, count, i, sums.c0, sums.c1);
  store(list, place + 24u, count, i, sums.d0, sums.d1);
}

fn store(list: u32, place: u32, count: u32, i: u32, gate: vec4<f32>, up: vec4<f32>) {
  if (place >= count) { return; }
  let row = groups[list + place] * DFF;
  if (i < DFF) { act[row + i] = silu(gate.x) * up.x; }
  if (i + 8u < DFF) { act[row + i + 8u] = silu(gate.y) * up.y; }
  if (i + 16u < DFF) { act[row + i + 16u] = silu(gate.z) * up.z; }
  if (i + 24u < DFF) { act[row + i + 24u] = silu(gate.w) * up.w; }
}
