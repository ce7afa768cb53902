// y[pair, n] = sum_i down[n, i] act[pair, i] for each (row, rank), a few rows.
// ids u32 [rows, TOP_K]; table u32 [experts]; act f32 [rows, TOP_K, DFF]; y f32 [rows, TOP_K, HIDDEN].
// Pairs whose expert is not in this chunk of the pool are left alone. A workgroup makes 256 / LANES elements of one
// pair: each group of LANES lanes has four rows of down.

override LANES: u32;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> codes: array<Codes>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> act: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> y: array<vec4<f32>>;

var<workgroup> partial: array<vec4<f32>, 64>; // four rows of each lane

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let pair = group.y;
  if (step.stopped != 0u || pair >= step.rows * TOP_K) { return; }
  let slot = table[ids[pair]];
  if (!in_chunk(slot)) { return; }
  let first_scale = (slot - FIRST_SLOT) * SLOT_SCALES + DOWN_SCALES;
  let across = (DFF + 127u) / 128u;
  let units = DFF / 16u;
  let lane = thread % LANES;
  let quad = min(group.x * (64u / LANES) + thread / LANES, HIDDEN / 4u - 1u);
  let weights = (slot - FIRST_SLOT) * SLOT_UNITS + DOWN_UNITS + quad * 4u * units;
  let input = pair * units;
  var sum = vec4<f32>(0.0);
  for (var unit = lane; unit < units; unit += LANES) {
    let at = (input + unit) * 4u;
    let v = Unit(act[at], act[at + 1u], act[at + 2u], act[at + 3u]);
    let dots = vec4<f32>(
      dot_unit(decode(codes[weights + unit]), v),
      dot_unit(decode(codes[weights + units + unit]), v),
      dot_unit(decode(codes[weights + 2u * units + unit]), v),
      dot_unit(decode(codes[weights + 3u * units + unit]), v));
    sum = fma(dots, vec4<f32>(scale_of(first_scale, across, quad * 4u, unit)), sum);
  }
  partial[thread] = sum;
  workgroupBarrier();
  let out = group.x * (64u / LANES) + thread;
  if (thread >= 64u / LANES || out >= HIDDEN / 4u) { return; }
  var total = vec4<f32>(0.0);
  for (var i = 0u; i < LANES; i++) { total += partial[thread * LANES + i]; }
  y[pair * (HIDDEN / 4u) + out] = total;
}
