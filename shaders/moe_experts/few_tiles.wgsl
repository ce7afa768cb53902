// Tiles from a list (few_list.wgsl): the workgroups x of a chunk take its x-th tile of the kinds that the kernel is for.

override FIRST_KIND: u32; // 0: of one pair, 1: of several
override LAST_KIND: u32;

@group(0) @binding(1) var<storage, read> list: array<vec4<u32>>;

fn end_tile(kind: u32) -> u32 {
  return list[kind / 4u][kind % 4u];
}

fn few_tile(index: u32) -> FewTile {
  let kind = sizes.chunk * 2u + FIRST_KIND;
  // A branch at a uniform alone would have Mesa's CPU driver compile the kernel anew at every dispatch.
  let tile = index + select(end_tile(max(kind, 1u) - 1u), 0u, kind == 0u);
  if (tile >= end_tile(sizes.chunk * 2u + LAST_KIND)) { return FewTile(); }
  let at = tile_at(tile) / 4u;
  let head = list[at];
  return FewTile(head.x, head.y, list[at + 1u]);
}
