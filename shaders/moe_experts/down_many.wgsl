// y[pair, n] = sum_i down[n, i] act[pair, i], many rows: a workgroup makes 64 elements of a tile of up to 32 pairs of
// one expert (groups.wgsl).
// table u32 [experts]; act f32 [rows, TOP_K, DFF]; y f32 [rows, TOP_K, HIDDEN]. Experts outside this chunk are left alone.

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> groups: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> codes: array<Codes>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> act: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  if (step.stopped != 0u || group.y >= groups[0]) { return; }
  let tile = tiles_at(group.y);
  let expert = groups[tile];
  let count = groups[tile + 2u];
  let slot = table[expert];
  if (!in_chunk(slot)) { return; }
  let list = pairs_at(expert) + groups[tile + 1u];
  let n0 = group.x * TILE_OUTPUTS;
  let units = DFF / 16u;
  let n = min(n0 + thread, HIDDEN - 1u);
  let weights = (slot - FIRST_SLOT) * SLOT_UNITS + DOWN_UNITS + n * units;
  let first_scale = (slot - FIRST_SLOT) * SLOT_SCALES + DOWN_SCALES;
  let across = (DFF + 127u) / 128u;
  // Two of the tile's 128 quads of act a thread; pairs past the end repeat the last one and are not stored.
  let from_a = groups[list + min(thread / 4u, count - 1u)] * (DFF / 4u) + thread % 4u;
  let from_b = groups[list + min(16u + thread / 4u, count - 1u)] * (DFF / 4u) + thread % 4u;
  var sums = Sums();
  for (var unit = 0u; unit < units; unit++) {
    stage_weights(thread, decode(codes[weights + unit]), scale_of(first_scale, across, n, unit));
    stage_input(thread / 4u, thread % 4u, act[from_a + unit * 4u]);
    stage_input(16u + thread / 4u, thread % 4u, act[from_b + unit * 4u]);
    workgroupBarrier();
    sums = multiply_tiles(sums, thread);
    workgroupBarrier();
  }
  let place = thread / 8u;
  let output = n0 + thread % 8u;
  store(list, place, count, output, sums.a0, sums.a1);
  store(list, place + 8u, count, output, sums.b0, sums.b1);
  store(list, place + 16u, count, output, sums.c0, sums.c1);
  store(list, place + 24u, count, output, sums.d0, sums.d1);
}

fn store(list: u32, place: u32, count: u32, n: u32, low: vec4<f32>, high: vec4<f32>) {
  if (place >= count) { return; }
  let row = groups[list + place] * HIDDEN;
  put(row, n, low.x);
  put(row, n + 8u, low.y);
  put(row, n + 16u, low.z);
  put(row, n + 24u, low.w);
  put(row, n + 32u, high.x);
  put(row, n + 40u, high.y);
  put(row, n + 48u, high.z);
  put(row, n + 56u, high.w);
}

fn put(row: u32, n: u32, value: f32) {
  if (n < HIDDEN) { y[row + n] = value; }
}
