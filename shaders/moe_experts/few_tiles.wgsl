// Several rows: the workgroups x of a chunk take its x-th tile (few_list.wgsl).

@group(0) @binding(1) var<storage, read> list: array<vec4<u32>>;

fn end_tile(chunk: u32) -> u32 {
  return list[chunk / 4u][chunk % 4u];
}

fn few_tile(index: u32) -> FewTile {
  var tile = index;
  if (sizes.chunk > 0u) { tile += end_tile(sizes.chunk - 1u); }
  if (tile >= end_tile(sizes.chunk)) { return FewTile(); }
  let at = tile_at(tile) / 4u;
  let head = list[at];
  return FewTile(head.x, head.y, list[at + 1u]);
}
