// How the rows of a tile of x get to all threads, with subgroups of 8 neighbours or a multiple: eight of them load two rows
// of a unit together, a quad each, and tell them each other. For processors that run shaders on vectors of a CPU this is
// worth twenty loads: a load is done for one thread after another, a broadcast for all at once.

alias Pair = vec4<f32>; // the quad of this thread: the first row's in threads 0 to 3, the second's in 4 to 7

// Where this thread's quads start: of rows 0 or 1, 2 or 3, ... 6 or 7, and of rows 8 or 9, ... 14 or 15.
struct Source {
  low: vec4<u32>,
  high: vec4<u32>,
}

fn open_tile(tile: Tile, thread: u32) -> Source {
  let row = thread % 8u / 4u;
  let quad = thread % 4u;
  return Source(
    quad + vec4<u32>(
      row_start(tile, row), row_start(tile, row + 2u), row_start(tile, row + 4u), row_start(tile, row + 6u)),
    quad + vec4<u32>(
      row_start(tile, row + 8u), row_start(tile, row + 10u), row_start(tile, row + 12u), row_start(tile, row + 14u)));
}

fn next_inputs(source: Source, unit: u32, units: u32) -> Inputs {
  let low = source.low + unit * 4u;
  let high = source.high + unit * 4u;
  return Inputs(x[low.x], x[low.y], x[low.z], x[low.w], x[high.x], x[high.y], x[high.z], x[high.w]);
}

fn next_half(source: Source, unit: u32, units: u32) -> Inputs {
  let low = source.low + unit * 4u;
  var inputs = Inputs();
  inputs.a = x[low.x];
  inputs.b = x[low.y];
  inputs.c = x[low.z];
  inputs.d = x[low.w];
  return inputs;
}

fn next_quarter(source: Source, unit: u32, units: u32) -> Inputs {
  var inputs = Inputs();
  inputs.a = x[source.low.x + unit * 4u];
  inputs.b = x[source.low.y + unit * 4u];
  return inputs;
}

fn next_two(source: Source, unit: u32, units: u32) -> Inputs {
  var inputs = Inputs();
  inputs.a = x[source.low.x + unit * 4u];
  return inputs;
}

fn even(pair: Pair) -> Unit {
  return Unit(
    subgroupBroadcast(pair, 0u), subgroupBroadcast(pair, 1u), subgroupBroadcast(pair, 2u), subgroupBroadcast(pair, 3u));
}

fn odd(pair: Pair) -> Unit {
  return Unit(
    subgroupBroadcast(pair, 4u), subgroupBroadcast(pair, 5u), subgroupBroadcast(pair, 6u), subgroupBroadcast(pair, 7u));
}
