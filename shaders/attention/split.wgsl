// How a row's context is split among workgroups: a function of the row alone, so that its bits are too.

const MAX_SPLITS: u32 = 256u;
const MIN_SPLIT: u32 = 64u; // also the tile: one token a thread

fn split_tokens(context: u32) -> u32 {
  var tokens = MIN_SPLIT;
  while (tokens * MAX_SPLITS < context) { tokens *= 2u; }
  return tokens;
}
