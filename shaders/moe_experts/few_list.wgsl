// Cuts the pairs (row, rank) of a step of few rows into tiles of up to TILE pairs of one expert, so that the kernels of a
// chunk of the pool find theirs side by side, those of one pair before the others, in the order of their slots
// (few_layout.wgsl has the layout of `list`); and says how many workgroups each of those kernels needs.
// ids u32 [rows, top_k]; table u32 [experts]. Pairs whose expert has no slot are left out. One workgroup.

override TILE: u32; // at most 8
override MOST_PAIRS: u32;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;
@group(0) @binding(3) var<storage, read_write> list: array<u32>;
@group(0) @binding(4) var<uniform> sizes: ChunkSizes;

// A tile's place among all of them follows from its key: chunk, whether it has several pairs, slot, tile of that slot.
const SLOT_BITS: u32 = 16u;
const PART_BITS: u32 = 4u;
const KIND_BITS: u32 = SLOT_BITS + PART_BITS;

var<workgroup> slots: array<u32, MOST_PAIRS>; // of each pair
var<workgroup> heads: array<u32, MOST_PAIRS>; // the key of the tile that the pair begins, else NONE

// Where a pair belongs.
struct Place {
  key: u32,
  place: u32, // in its tile
  count: u32, // pairs of the tile
}

fn chunk_of(slot: u32) -> u32 {
  var chunk = 0u;
  for (var i = 0u; i < sizes.chunks; i++) { chunk += u32(slot >= sizes.ends[i / 4u][i % 4u]); }
  return chunk;
}

fn place_of(pair: u32, pairs: u32) -> Place {
  let slot = slots[pair];
  var before = 0u;
  var all = 0u;
  for (var i = 0u; i < pairs; i++) {
    let same = u32(slots[i] == slot);
    all += same;
    before += select(0u, same, i < pair);
  }
  let part = before / TILE;
  let count = min(all - part * TILE, TILE);
  let kind = chunk_of(slot) * 2u + u32(count > 1u);
  return Place((kind << KIND_BITS) | (slot << PART_BITS) | part, before % TILE, count);
}

fn heads_below(key: u32, pairs: u32) -> u32 {
  var count = 0u;
  for (var i = 0u; i < pairs; i++) { count += u32(heads[i] < key); }
  return count;
}

fn write_grid(at: u32, tiles: u32, groups: u32) {
  list[at] = tiles;
  list[at + 1u] = groups;
  list[at + 2u] = 1u;
}

@compute @workgroup_size(64)
fn main(@builtin(local_invocation_index) thread: u32) {
  // Of a step that has been stopped nothing is to be done: no tiles, hence no workgroups.
  let pairs = select(min(step.rows * sizes.top_k, MOST_PAIRS), 0u, step.stopped != 0u);
  for (var pair = thread; pair < pairs; pair += 64u) { slots[pair] = table[ids[pair]]; }
  workgroupBarrier();
  for (var pair = thread; pair < pairs; pair += 64u) {
    let found = place_of(pair, pairs);
    heads[pair] = select(NONE, found.key, found.place == 0u && slots[pair] != NONE);
  }
  workgroupBarrier();
  for (var pair = thread; pair < pairs; pair += 64u) {
    if (slots[pair] == NONE) { continue; }
    let found = place_of(pair, pairs);
    let at = tile_at(heads_below(found.key, pairs));
    if (found.place == 0u) {
      list[at] = slots[pair];
      list[at + 1u] = found.count;
    }
    // The last pair of a tile stands in for those that it lacks.
    let end = select(found.place + 1u, TILE, found.place + 1u == found.count);
    for (var i = found.place; i < end; i++) { list[at + 4u + i] = pair; }
  }
  for (var kind = thread; kind < sizes.chunks * 2u; kind += 64u) {
    let first = heads_below(kind << KIND_BITS, pairs);
    let end = heads_below((kind + 1u) << KIND_BITS, pairs);
    list[kind] = end;
    write_grid(grid_at(kind / 2u, kind % 2u, 0u), end - first, sizes.gate_up_groups);
    write_grid(grid_at(kind / 2u, kind % 2u, 1u), end - first, sizes.down_groups);
  }
}
