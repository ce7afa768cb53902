// Many rows: a workgroup works for a tile of up to 8 pairs of one expert (groups.wgsl).

@group(0) @binding(1) var<storage, read> groups: array<u32>;

fn find_tile(index: u32) -> PairTile {
  if (index >= groups[0]) { return PairTile(); }
  let tile = tiles_at(index);
  let expert = groups[tile];
  let count = groups[tile + 2u];
  let list = pairs_at(expert) + groups[tile + 1u];
  let last = count - 1u;
  let low = list + min(vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(last));
  let high = list + min(vec4<u32>(4u, 5u, 6u, 7u), vec4<u32>(last));
  return PairTile(expert, count,
    vec4<u32>(groups[low.x], groups[low.y], groups[low.z], groups[low.w]),
    vec4<u32>(groups[high.x], groups[high.y], groups[high.z], groups[high.w]));
}
