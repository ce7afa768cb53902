// h[row, n] += sum over rank of weights[row, rank] y[row, rank, n], y[pair, n] = sum_i down[n, i] act[pair, i]: the last
// projection of few rows with everything that follows it.
// ids u32, weights f32 [rows, top_k]; table u32 [experts]; act f32 [rows, top_k, dff], named x; h f32 [rows, hidden].
// outputs f32 [rows, top_k, hidden] takes what cannot be added yet: where other chunks of the pool or other waves of
// experts follow, the pairs at hand are stored there, and the last dispatch reads those that it does not have. So the
// ranks are added in order, whenever their experts were computed. A workgroup makes OUTPUTS * 32 / LANES elements of one
// row (products.wgsl): TEAMS times 32 threads take a rank each. The last dispatch makes the first half of the norm that
// follows, too (row_factor.wgsl has the second): scaled = h (1 + norm), squares [rows, next_parts] sums of h^2 over the
// elements of a workgroup. norm f32 [hidden]; scaled f32 [rows, hidden].

override TEAMS: u32;
override HELD: u32;         // ranks whose sums are held at a time
override TEAM_THREADS: u32; // TEAMS * 32

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> codes: array<Codes>;
@group(0) @binding(4) var<storage, read> scales: array<u32>;
@group(0) @binding(5) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> weights: array<f32>;
@group(0) @binding(7) var<storage, read_write> outputs: array<f32>;
@group(0) @binding(8) var<storage, read_write> h: array<f32>;
@group(0) @binding(9) var<storage, read> norm: array<f32>;
@group(0) @binding(10) var<storage, read_write> scaled: array<f32>;
@group(0) @binding(11) var<storage, read_write> squares: array<f32>;
@group(0) @binding(12) var<uniform> sizes: Sizes;

var<workgroup> kept: array<f32, 64>; // squares

fn four_rows(n: u32) -> vec4<u32> {
  return min(vec4<u32>(n, n + 1u, n + 2u, n + 3u), vec4<u32>(sizes.hidden - 1u));
}

// The products of one pair with the rows of W from n on, kept at `place` of those held; zeros where its expert is not here.
// All threads take part, for those of a subgroup tell each other their sums.
fn multiply(pair: u32, slot: u32, is_here: bool, n: u32, thread: u32, place: u32) {
  let units = sizes.dff / 16u;
  let end = select(0u, units, is_here);
  let across = (sizes.dff + 127u) / 128u;
  let base = (slot - sizes.first_slot) * sizes.slot_units + sizes.down_units;
  let rows0 = base + four_rows(n) * units;
  let rows1 = base + four_rows(n + 4u) * units;
  let first_scale = (slot - sizes.first_slot) * sizes.slot_scales + sizes.down_scales + min(n, sizes.hidden - 1u) / 128u * across;
  let low = vec4<u32>(pair * (sizes.dff / 4u));
  var sums0 = Sums();
  var sums1 = Sums();
  for (var unit = thread % LANES; unit < end; unit += LANES) {
    let inputs = load_inputs(low, low, unit);
    let scale = unit_scale(first_scale, unit);
    sums0 = add_products(sums0, rows0 + unit, scale, inputs);
    sums1 = add_products(sums1, rows1 + unit, scale, inputs);
  }
  keep(place * 2u, thread, sums0);
  keep(place * 2u + 1u, thread, sums1);
}

@compute @workgroup_size(TEAM_THREADS)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) index: u32) {
  let row = group.y;
  if (step.stopped != 0u || row >= step.rows) { return; }
  let thread = index % THREADS;
  let team = index / THREADS;
  let here = OUTPUTS * (THREADS / LANES); // at most 64, and TEAM_THREADS
  let n = group.x * here + thread / LANES * OUTPUTS;
  let output = group.x * here + index;
  let is_last = sizes.last_chunk == 1u && step.more_waves == 0u;
  var sum = 0.0;
  for (var first = 0u; first < sizes.top_k; first += HELD) {
    let end = min(first + HELD, sizes.top_k);
    for (var base = first; base < end; base += TEAMS) {
      let rank = base + team;
      let pair = row * sizes.top_k + min(rank, end - 1u);
      let slot = table[ids[pair]];
      multiply(pair, slot, rank < end && in_chunk(slot), n, thread, rank - first);
    }
    workgroupBarrier();
    if (index < here && output < sizes.hidden) {
      for (var rank = first; rank < end; rank++) {
        let pair = row * sizes.top_k + rank;
        let at = pair * sizes.hidden + output;
        let is_here = in_chunk(table[ids[pair]]);
        var value = 0.0;
        if (is_here) { value = total((rank - first) * 8u + index % OUTPUTS, 0u, index / OUTPUTS); }
        if (is_last) {
          if (!is_here) { value = outputs[at]; }
          sum = fma(weights[pair], value, sum);
        } else if (is_here) {
          outputs[at] = value;
        }
      }
    }
    workgroupBarrier();
  }
  if (!is_last) { return; }
  if (index < here) {
    var value = 0.0;
    if (output < sizes.hidden) {
      let at = row * sizes.hidden + output;
      value = h[at] + sum;
      h[at] = value;
      scaled[at] = value * (1.0 + norm[output]);
    }
    kept[index] = value * value;
  }
  workgroupBarrier();
  if (index == 0u) {
    var square = 0.0;
    for (var i = 0u; i < here; i++) { square += kept[i]; }
    squares[row * sizes.next_parts + group.x] = square;
  }
}
