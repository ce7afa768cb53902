// Sums of the LANES neighbouring threads of a group, through workgroup memory: each keeps its own, `total` adds them up.

fn lanes_total(sum: vec4<f32>) -> vec4<f32> {
  return sum;
}

// How many of a group's threads have something to add up.
fn kept_lanes() -> u32 {
  return LANES;
}
