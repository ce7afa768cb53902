// First pass over the logits of a row, by blocks of 2,048 ids.
// cells [head rows, BLOCKS 64] (highest raw, highest adjusted logit of the real ids);
// blocks [head rows, BLOCKS] (max raw, sum exp(raw - max), max adjusted, sum exp((adjusted - max) / temperature)); the
// raw sum goes over padding ids too. A NaN or +infinity makes the first sum NaN-free and negative: -1.
// One workgroup scans one block (x) of one row (y).

@group(0) @binding(8) var<storage, read_write> cells: array<vec2<f32>>;
@group(0) @binding(9) var<storage, read_write> blocks: array<vec4<f32>>;

var<workgroup> reduced: array<vec4<f32>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  let row = group.y;
  if (step.stopped != 0u || row >= step.head_rows) { return; }
  let slot = slot_of(row);
  let flags = options[slot].flags;
  let real = min(options[slot].real_vocab, V);
  let cell = group.x * CELLS + lane;
  let start = first_id(cell);
  var most = LOWEST;
  var listed = LOWEST;
  var drawn = LOWEST;
  var bad = 0.0;
  for (var i = 0u; i < CELL_IDS; i++) {
    let id = start + i * CELLS;
    if (id >= V) { break; }
    let x = logits[row * V + id];
    let bits = bitcast<u32>(x);
    // Comparisons with NaN may be optimised away; bits may not.
    if ((bits & 0x7fffffffu) > 0x7f800000u || bits == 0x7f800000u) { bad = 1.0; }
    most = max(most, x);
    if (id < real) {
      listed = max(listed, x);
      drawn = max(drawn, adjusted(x, slot, id, flags));
    }
  }
  cells[row * BLOCKS * CELLS + cell] = vec2(listed, drawn);
  reduced[lane] = vec4(most, drawn, bad, 0.0);
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (lane < half) { reduced[lane] = max(reduced[lane], reduced[lane + half]); }
    workgroupBarrier();
  }
  let highest = reduced[0];
  workgroupBarrier();
  let temperature = options[slot].temperature;
  let scale = select(0.0, 1.0 / temperature, temperature > 0.0);
  var total = vec4(0.0);
  for (var i = 0u; i < CELL_IDS; i++) {
    let id = start + i * CELLS;
    if (id >= V) { break; }
    let x = logits[row * V + id];
    total.x += exp(x - highest.x);
    if (id < real) { total.y += exp((adjusted(x, slot, id, flags) - highest.y) * scale); }
  }
  reduced[lane] = total;
  workgroupBarrier();
  for (var half = 32u; half > 0u; half >>= 1u) {
    if (lane < half) { reduced[lane] += reduced[lane + half]; }
    workgroupBarrier();
  }
  if (lane == 0u) {
    let sums = reduced[0];
    blocks[row * BLOCKS + group.x] = vec4(highest.x, select(sums.x, -1.0, highest.z > 0.0), highest.y, sums.y);
  }
}
