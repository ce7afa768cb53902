// A state slot keeps the last inputs of a channel in a ring of TAPS columns, that of position p in column p % TAPS. A
// row's own column is none of those that it reads, so others may still read them while one thread writes it.

override TAPS: u32; // 2 to 4

// The column of row t of a segment; t may lie up to TAPS - 1 rows before it.
fn ring_column(segment: Segment, t: i32) -> u32 {
  return u32(i32(segment.context % TAPS + TAPS) + t) % TAPS;
}
