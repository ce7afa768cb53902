// silu(x) = x sigmoid(x). The exponent is held below 80, so that no infinity arises: WGSL lets a
// compiler assume there is none.

fn sigmoid(x: f32) -> f32 {
  return 1.0 / (1.0 + exp(min(-x, 80.0)));
}

fn silu(x: f32) -> f32 {
  return x / (1.0 + exp(min(-x, 80.0)));
}
