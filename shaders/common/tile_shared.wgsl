// How the rows of a tile of x get to all threads, through workgroup memory: four units of the sixteen rows at a time.

const STAGED_QUADS: u32 = 16u;         // of a row
const STAGED_PAD: u32 = STAGED_QUADS + 1u; // keeps neighbouring rows in different banks while they are filled

alias Pair = u32; // where its first row is staged

struct Source {
  thread: u32,
}

var<workgroup> starts: array<u32, TILE_ROWS>;
var<workgroup> staged: array<vec4<f32>, 272>; // [TILE_ROWS, STAGED_PAD]

fn open_tile(tile: Tile, thread: u32) -> Source {
  if (thread < TILE_ROWS) { starts[thread] = row_start(tile, thread); }
  return Source(thread);
}

fn next_inputs(source: Source, unit: u32, units: u32) -> Inputs {
  if (unit % 4u == 0u) {
    workgroupBarrier();
    for (var i = source.thread; i < TILE_ROWS * STAGED_QUADS; i += TILE_THREADS) {
      let quad = min(unit * 4u + i % STAGED_QUADS, units * 4u - 1u);
      staged[i / STAGED_QUADS * STAGED_PAD + i % STAGED_QUADS] = x[starts[i / STAGED_QUADS] + quad];
    }
    workgroupBarrier();
  }
  let at = unit % 4u * 4u;
  let two = 2u * STAGED_PAD;
  return Inputs(at, at + two, at + 2u * two, at + 3u * two, at + 4u * two, at + 5u * two, at + 6u * two, at + 7u * two);
}

fn next_half(source: Source, unit: u32, units: u32) -> Inputs {
  return next_inputs(source, unit, units);
}

fn next_quarter(source: Source, unit: u32, units: u32) -> Inputs {
  return next_inputs(source, unit, units);
}

fn next_two(source: Source, unit: u32, units: u32) -> Inputs {
  return next_inputs(source, unit, units);
}

fn even(pair: Pair) -> Unit {
  return Unit(staged[pair], staged[pair + 1u], staged[pair + 2u], staged[pair + 3u]);
}

fn odd(pair: Pair) -> Unit {
  return even(pair + STAGED_PAD);
}
