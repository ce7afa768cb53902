// A single row: a tile is a rank; ids u32 [top_k], table u32 [experts].

@group(0) @binding(1) var<storage, read> ids: array<u32>;
@group(0) @binding(2) var<storage, read> table: array<u32>;

fn few_tile(tile: u32) -> FewTile {
  let slot = table[ids[tile]];
  // NONE is in no chunk.
  let is_here = slot >= sizes.first_slot && slot - sizes.first_slot < sizes.slots;
  return FewTile(slot, u32(is_here), vec4<u32>(tile));
}
