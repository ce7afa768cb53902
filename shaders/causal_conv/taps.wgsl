// The weights of a quad of channels, out of conv_weight [C, TAPS], which the kernel declares by quads.

fn tap(channel: u32, back: u32) -> f32 {
  let at = channel * TAPS + TAPS - 1u - back;
  return conv_weight[at / 4u][at % 4u];
}

fn taps_at(quad: u32, back: u32) -> vec4<f32> {
  if (back >= TAPS) { return vec4<f32>(); }
  let channel = quad * 4u;
  return vec4<f32>(tap(channel, back), tap(channel + 1u, back), tap(channel + 2u, back), tap(channel + 3u, back));
}

// The weights of four channels, a column for each of the last four rows, the present one first.
fn taps_of(quad: u32) -> mat4x4<f32> {
  if (TAPS == 4u) {
    let at = quad * 4u;
    let c = transpose(mat4x4<f32>(conv_weight[at], conv_weight[at + 1u], conv_weight[at + 2u], conv_weight[at + 3u]));
    return mat4x4<f32>(c[3], c[2], c[1], c[0]);
  }
  return mat4x4<f32>(taps_at(quad, 0u), taps_at(quad, 1u), taps_at(quad, 2u), taps_at(quad, 3u));
}
