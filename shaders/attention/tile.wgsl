// What prefill.wgsl and prefill_broadcast.wgsl are given, which rows a workgroup takes, and where its sums go. The kernel
// declares how many queries a tile has: TILE_QUERIES.

override HEADS: u32;
override KV_HEADS: u32;
override D: u32;
override PAGE_TOKENS: u32; // a multiple of 4
override ARENA: u32;

const LOWEST: f32 = -1e30;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read> segments: array<Segment>;
@group(0) @binding(3) var<storage, read> pages: array<u32>;
@group(0) @binding(4) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> qkv: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read> k_pages: array<KvOctet>;
@group(0) @binding(7) var<storage, read> v_pages: array<KvOctet>;
@group(0) @binding(8) var<storage, read_write> out: array<vec4<f32>>;

struct Tile {
  segment: u32,
  first_row: u32, // of the tile
  end_row: u32,   // of the segment, past its last
}

// The x-th tile of the step: segments are cut into tiles one after another. Past the last tile, end_row is 0.
fn find_tile(x: u32, rows_a_tile: u32) -> Tile {
  var before = 0u;
  for (var i = 0u; i < step.segments; i++) {
    let count = segments[i].row_count;
    let tiles = (count + rows_a_tile - 1u) / rows_a_tile;
    if (x < before + tiles) {
      let first = segments[i].first_row;
      return Tile(i, first + (x - before) * rows_a_tile, first + count);
    }
    before += tiles;
  }
  return Tile(0u, 0u, 0u);
}

struct Place { tile: Tile, kv_head: u32, quad: u32 }

// Gates and stores eight elements of one query.
fn store(query: u32, place: Place, sum: vec4<f32>, next: vec4<f32>) {
  let share = HEADS / KV_HEADS;
  let row = place.tile.first_row + query / share;
  if (query >= TILE_QUERIES / share * share || row >= place.tile.end_row) { return; }
  let head = place.kv_head * share + query % share;
  let quads = D / 4u;
  let gate = row * 2u * (HEADS + KV_HEADS) * quads + head * 2u * quads + quads + place.quad;
  let to = (row * HEADS + head) * quads + place.quad;
  out[to] = sum / (1.0 + exp(min(-qkv[gate], vec4(80.0)))); // no infinity: see silu.wgsl
  out[to + 1u] = next / (1.0 + exp(min(-qkv[gate + 1u], vec4(80.0))));
}
