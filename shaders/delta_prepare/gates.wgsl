// Gates of one row and value head.

// log(1 + e^x) without cancellation: log1p by its series where e^-|x| is small.
fn softplus(x: f32) -> f32 {
  let y = exp(-abs(x));
  let series = y * fma(y, fma(y, 0.33333334, -0.5), 1.0);
  return max(x, 0.0) + select(log(1.0 + y), series, y < 0.01);
}

// g: logarithm of the decay, at most 0.
fn log_decay(a: f32, a_log: f32, dt_bias: f32) -> f32 {
  return -exp(a_log) * softplus(a + dt_bias);
}
