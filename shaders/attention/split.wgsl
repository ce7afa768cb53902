// How a row's context is split among workgroups: a function of the row alone, so that its bits are too.

override MIN_SPLIT: u32;  // tokens of the shortest split, a multiple of the kernel's tile
override MAX_SPLITS: u32; // of a row

fn split_tokens(context: u32) -> u32 {
  var tokens = MIN_SPLIT;
  while (tokens * MAX_SPLITS < context) { tokens *= 2u; }
  return tokens;
}
