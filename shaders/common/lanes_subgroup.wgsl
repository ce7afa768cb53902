// Sums of the LANES neighbouring threads of a group, which are all in one subgroup: halves of the group are added to each
// other, so the order of the sum does not depend on the driver, and every thread has all of it.

fn lanes_total(start: vec4<f32>) -> vec4<f32> {
  var sum = start;
  if (LANES > 16u) { sum += subgroupShuffleXor(sum, 16u); }
  if (LANES > 8u) { sum += subgroupShuffleXor(sum, 8u); }
  if (LANES > 4u) { sum += subgroupShuffleXor(sum, 4u); }
  sum += subgroupShuffleXor(sum, 2u);
  sum += subgroupShuffleXor(sum, 1u);
  return sum;
}

// How many of a group's threads have something to add up.
fn kept_lanes() -> u32 {
  return 1u;
}
