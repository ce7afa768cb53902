// Copies the experts that `resolve.wgsl` lists from one part of host memory into one chunk of the slots.
//   fills u32: how many, then (place, slot) of each
//   source, slots: experts of `sizes.units` vec4<u32> one after the other
// A workgroup copies BLOCK vec4<u32> of one expert; those of experts that are not listed, or lie elsewhere, return at once.

struct Sizes {
  units: u32,       // of an expert
  first_place: u32, // what lies at the start of `source`
  places: u32,
  first_slot: u32,  // what lies at the start of `slots`
  slots: u32,
}

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> fills: array<u32>;
@group(0) @binding(2) var<storage, read> source: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read_write> slots: array<vec4<u32>>;
@group(0) @binding(4) var<uniform> sizes: Sizes;

const LANES: u32 = 256u;
const BLOCK: u32 = 1024u; // 4 loads of a lane are under way at once

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
  if (step.stopped != 0u || group.y >= fills[0]) { return; }
  let place = fills[1u + 2u * group.y] - sizes.first_place;
  let slot = fills[2u + 2u * group.y] - sizes.first_slot;
  if (place >= sizes.places || slot >= sizes.slots) { return; }
  let from_unit = place * sizes.units;
  let to_unit = slot * sizes.units;
  let unit = group.x * BLOCK + lane;
  if (unit + 3u * LANES < sizes.units) {
    let a = source[from_unit + unit];
    let b = source[from_unit + unit + LANES];
    let c = source[from_unit + unit + 2u * LANES];
    let d = source[from_unit + unit + 3u * LANES];
    slots[to_unit + unit] = a;
    slots[to_unit + unit + LANES] = b;
    slots[to_unit + unit + 2u * LANES] = c;
    slots[to_unit + unit + 3u * LANES] = d;
    return;
  }
  for (var i = unit; i < sizes.units && i < unit + BLOCK; i += LANES) {
    slots[to_unit + i] = source[from_unit + i];
  }
}
