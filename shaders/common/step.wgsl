// What one step is: its header, its rows and its segments (a segment is the rows of one sequence).
// Filled by the host before the step; `stopped` is also set by the router when an expert is missing, and between steps
// that follow each other without the host when all sequences have ended.

const NONE: u32 = 0xffffffffu;

struct Step {
  rows: u32,        // token rows in this step
  segments: u32,    // sequences in this step
  head_rows: u32,   // rows whose logits are wanted
  stopped: u32,     // 0, or 1 + the layer whose experts are not resident, or NONE: later kernels return at once
  layer_limit: u32, // reserved
  more_waves: u32,  // 1: experts of the same layer follow in another wave
  reserved1: u32,
  reserved2: u32,
}

struct Row {
  cache_index: u32, // position in the sequence's KV cache
  segment: u32,     // index into the segments
  token: u32,       // id of the row's input token
  reserved: u32,
}

struct Segment {
  first_row: u32,
  row_count: u32,
  context: u32,     // tokens in the KV cache before the first row
  page_table: u32,  // offset of the sequence's page table in the page list
  state_read: u32,  // recurrent state slot to start from; NONE: zeros
  state_write: u32, // recurrent state slot to leave the state in; may equal state_read
  arena: u32,       // which KV buffer holds the sequence's pages
  sampler: u32,     // slot of the sequence's sampling options
}
