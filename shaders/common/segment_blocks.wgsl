// Segments cut into blocks of 16 rows, counted through the step: block 0 starts segment 0, and so on.
// A kernel that joins this text declares `step: Step` and `segments: array<Segment>`.

const BLOCK_ROWS: u32 = 16u;

struct Block {
  segment: u32, // NONE: past the last block
  first: u32,   // the block's first row, counted from the segment's
}

fn find_block(index: u32) -> Block {
  var before = 0u;
  for (var s = 0u; s < step.segments; s++) {
    let blocks = (segments[s].row_count + BLOCK_ROWS - 1u) / BLOCK_ROWS;
    if (index < before + blocks) { return Block(s, (index - before) * BLOCK_ROWS); }
    before += blocks;
  }
  return Block(NONE, 0u);
}
