// Few rows: a workgroup works for one pair (row, rank), in the order of ids u32 [rows, top_k].

@group(0) @binding(1) var<storage, read> ids: array<u32>;

fn find_tile(index: u32) -> PairTile {
  if (index >= step.rows * sizes.top_k) { return PairTile(); }
  return PairTile(ids[index], 1u, vec4<u32>(index), vec4<u32>(index));
}
