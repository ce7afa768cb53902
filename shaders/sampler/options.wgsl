// What the sampler's kernels share: a slot's options, ordered keys of floats, and where a block's ids lie.

struct Options {
  temperature: f32,
  top_p: f32,
  min_p: f32,
  presence: f32,
  frequency: f32,
  repetition: f32,
  top_k: u32,
  seed: u32,
  real_vocab: u32, // ids from here on are padding: never drawn, never listed
  flags: u32,
  top: u32,        // entries of the list of most probable ids
  reserved0: u32,
  reserved1: u32,
  reserved2: u32,
  reserved3: u32,
  reserved4: u32,
}

// What `select` found for one row.
struct Choice {
  threshold: u32, // key of the lowest adjusted logit that may be drawn
  most: f32,      // highest adjusted logit
  log_total: f32, // log of the sum of exp(raw logit) over the whole row
  bad: u32,       // 1 if a logit is NaN or +infinity
}

const PENALISED: u32 = 1u;
const BIASED: u32 = 2u;

// A block of ids has 64 cells; a cell is 32 ids, 64 apart, so that neighbouring threads read neighbouring ids.
const CELLS: u32 = 64u;
const CELL_IDS: u32 = 32u;
const LOWEST: f32 = -3.4028234e38;

fn first_id(cell: u32) -> u32 {
  return cell / CELLS * (CELLS * CELL_IDS) + cell % CELLS;
}

fn cell_of(id: u32) -> u32 {
  return id / (CELLS * CELL_IDS) * CELLS + id % CELLS;
}

// Unsigned integers in the order of the floats; never 0.
fn key_of(x: f32) -> u32 {
  let bits = bitcast<u32>(x);
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn value_of(key: u32) -> f32 {
  return bitcast<f32>(select(~key, key & 0x7fffffffu, key >= 0x80000000u));
}

// Whether (key, id) a comes before b: the higher key, the lower id among equals.
fn better(a: vec2<u32>, b: vec2<u32>) -> bool {
  return a.x > b.x || (a.x == b.x && a.y < b.y);
}
