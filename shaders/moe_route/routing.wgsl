// What both kernels that choose experts read and write, and the order in which they choose.

override EXPERTS: u32;
override TOP_K: u32;   // at most 32

// `Step` with an atomic: rows of several workgroups may stop it.
struct RouteStep {
  rows: u32,
  segments: u32,
  head_rows: u32,
  stopped: atomic<u32>,
}

@group(0) @binding(0) var<storage, read_write> step: RouteStep;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read> stop: u32; // what `stopped` becomes: 1 + this layer
@group(0) @binding(4) var<storage, read_write> ids: array<u32>;
@group(0) @binding(5) var<storage, read_write> weights: array<f32>;

// Whether (a, id_a) comes before (b, id_b) in the ranking; NONE comes last.
fn before(a: f32, id_a: u32, b: f32, id_b: u32) -> bool {
  if (id_a == NONE) { return false; }
  return id_b == NONE || a > b || (a == b && id_a < id_b);
}
