// act[pair, i] = silu(sum_k gate[i, k] x[row, k]) * sum_k up[i, k] x[row, k] for each (row, rank), a few rows.
// ids u32 [rows, TOP_K]; table u32 [experts]; x f32 [rows, HIDDEN]; act f32 [rows, TOP_K, DFF].
// Pairs whose expert is not in this chunk of the pool are left alone. A workgroup makes 128 / LANES elements of one
// pair: each group of LANES lanes has two rows of gate and the same two of up.

override LANES: u32;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> codes: array<Codes>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> act: array<f32>;

var<workgroup> partial: array<vec4<f32>, 64>; // gate, gate, up, up of each lane

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) thread: u32) {
  let pair = group.y;
  if (step.stopped != 0u || pair >= step.rows * TOP_K) { return; }
  let slot = table[ids[pair]];
  if (!in_chunk(slot)) { return; }
  let base = (slot - FIRST_SLOT) * SLOT_UNITS;
  let base_scale = (slot - FIRST_SLOT) * SLOT_SCALES;
  let across = (HIDDEN + 127u) / 128u;
  let units = HIDDEN / 16u;
  let lane = thread % LANES;
  let i0 = (group.x * (64u / LANES) + thread / LANES) * 2u;
  let row_a = min(i0, DFF - 1u);
  let row_b = min(i0 + 1u, DFF - 1u);
  let gate = base;
  let up = base + UP_UNITS;
  let input = pair / TOP_K * units;
  var sum = vec4<f32>(0.0);
  for (var unit = lane; unit < units; unit += LANES) {
    let at = (input + unit) * 4u;
    let v = Unit(x[at], x[at + 1u], x[at + 2u], x[at + 3u]);
    let dots = vec4<f32>(
      dot_unit(decode(codes[gate + row_a * units + unit]), v),
      dot_unit(decode(codes[gate + row_b * units + unit]), v),
      dot_unit(decode(codes[up + row_a * units + unit]), v),
      dot_unit(decode(codes[up + row_b * units + unit]), v));
    // Neighbours from an even row on share a scale.
    let scale_gate = scale_of(base_scale + GATE_SCALES, across, row_a, unit);
    let scale_up = scale_of(base_scale + UP_SCALES, across, row_a, unit);
    sum = fma(dots, vec4<f32>(scale_gate, scale_gate, scale_up, scale_up), sum);
  }
  partial[thread] = sum;
  workgroupBarrier();
  if (thread >= 64u / LANES) { return; }
  var total = vec4<f32>(0.0);
  for (var i = 0u; i < LANES; i++) { total += partial[thread * LANES + i]; }
  let i1 = (group.x * (64u / LANES) + thread) * 2u;
  if (i1 < DFF) { act[pair * DFF + i1] = silu(total.x) * total.z; }
  if (i1 + 1u < DFF) { act[pair * DFF + i1 + 1u] = silu(total.y) * total.w; }
}
