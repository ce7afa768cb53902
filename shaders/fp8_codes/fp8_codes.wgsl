// y[code] = the value of every FP8 code, in one workgroup: codes [16] units, y f32 [256]. Scales are all one.

@group(0) @binding(0) var<storage, read> codes: array<Codes>;
@group(0) @binding(1) var<storage, read> scales: array<u32>;
@group(0) @binding(2) var<storage, read_write> y: array<Unit>;

@compute @workgroup_size(16)
fn main(@builtin(local_invocation_index) thread: u32) {
  let scale = scale_value(scales[thread / 2u], thread);
  let unit = decode(codes[thread]);
  y[thread] = Unit(unit.a * scale, unit.b * scale, unit.c * scale, unit.d * scale);
}
