// BF16 weights [rows, k] to 8-bit codes and BF16 scales, one for SCALE_ROWS rows x 128 columns: code = round(w / scale).
// A thread makes one word of scales, two blocks one after another.

override SCALE_ROWS: u32;

struct Sizes {
  rows: u32,
  k: u32, // a multiple of 16
}

@group(0) @binding(0) var<storage, read> weights: array<vec4<u32>>;        // eight neighbours, low half first
@group(0) @binding(1) var<storage, read_write> codes: array<vec2<u32>>;    // the same eight, low byte first
@group(0) @binding(2) var<storage, read_write> scales: array<u32>;         // BF16 pairs [ceil(rows / SCALE_ROWS), ceil(k / 128)]
@group(0) @binding(3) var<uniform> sizes: Sizes;

fn even_halves(words: vec4<u32>) -> vec4<f32> { return bitcast<vec4<f32>>(words << vec4<u32>(16u)); }
fn odd_halves(words: vec4<u32>) -> vec4<f32> { return bitcast<vec4<f32>>(words & vec4<u32>(0xffff0000u)); }

fn largest_of(values: vec4<f32>) -> f32 {
  let size = abs(values);
  return max(max(size.x, size.y), max(size.z, size.w));
}

fn code_of(value: f32, inverse: f32) -> u32 {
  return u32(i32(clamp(round(value * inverse), -127.0, 127.0))) & 0xffu;
}

fn four_codes(a: f32, b: f32, c: f32, d: f32, inverse: f32) -> u32 {
  return code_of(a, inverse) | (code_of(b, inverse) << 8u) | (code_of(c, inverse) << 16u) |
    (code_of(d, inverse) << 24u);
}

// Writes the codes of a block; its scale as BF16 in the high half.
fn quantize_block(block: u32, across: u32) -> u32 {
  let row = block / across * SCALE_ROWS;
  let row_end = min(row + SCALE_ROWS, sizes.rows);
  let octets = sizes.k / 8u;
  let octet = block % across * 16u;
  let octet_end = min(octet + 16u, octets);
  var largest = 0.0;
  for (var r = row; r < row_end; r++) {
    for (var o = octet; o < octet_end; o++) {
      let words = weights[r * octets + o];
      largest = max(largest, max(largest_of(even_halves(words)), largest_of(odd_halves(words))));
    }
  }
  // Rounded up, so that no weight is beyond 127 scales.
  let scale = (bitcast<u32>(largest / 127.0) + 0xffffu) & 0xffff0000u;
  let inverse = select(0.0, 1.0 / bitcast<f32>(scale), scale != 0u);
  for (var r = row; r < row_end; r++) {
    for (var o = octet; o < octet_end; o++) {
      let words = weights[r * octets + o];
      let even = even_halves(words);
      let odd = odd_halves(words);
      codes[r * octets + o] = vec2<u32>(
        four_codes(even.x, odd.x, even.y, odd.y, inverse),
        four_codes(even.z, odd.z, even.w, odd.w, inverse));
    }
  }
  return scale;
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
  let across = (sizes.k + 127u) / 128u;
  let blocks = (sizes.rows + SCALE_ROWS - 1u) / SCALE_ROWS * across;
  let first = id.x * 2u;
  if (first >= blocks) { return; }
  var word = quantize_block(first, across) >> 16u;
  if (first + 1u < blocks) { word |= quantize_block(first + 1u, across); }
  scales[id.x] = word;
}
