// Three ways to make f32 of e4m3 codes, for comparison: all codes through each of them.
// values f32 [3 * 256]: A2, an arithmetic shift into f32; B2, two codes through a pair of halves; D, without subnormals.

@group(0) @binding(0) var<storage, read_write> values: array<f32>;

fn shifted(code: u32) -> f32 {
  let bits = u32(bitcast<i32>(code << 24u) >> 4u) & 0x87f00000u;
  return bitcast<f32>(bits) * 0x1p120f;
}

fn halved(code: u32) -> f32 {
  let word = code << 8u;
  return unpack2x16float((word & 0x8000u) | ((word >> 1u) & 0x3f80u)).x * 256.0;
}

fn branched(code: u32) -> f32 {
  let magnitude = code & 0x7fu;
  let normal = bitcast<f32>((magnitude << 20u) + 0x3c000000u);
  let subnormal = bitcast<f32>(0x3c800000u | (magnitude << 20u)) - 0x1p-6f;
  let value = select(normal, subnormal, magnitude < 8u);
  return select(value, -value, (code & 0x80u) != 0u);
}

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) code: u32) {
  values[code] = shifted(code);
  values[256u + code] = halved(code);
  values[512u + code] = branched(code);
}
