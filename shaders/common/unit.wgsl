// A unit is 16 neighbouring weights of one matrix row: what every format decodes to. A format's snippet declares
//   alias Codes         how a unit is stored: the element of a storage array
//   const SCALED: bool  whether a unit is multiplied by a scale
//   const BLOCK_UNITS   units of a row that share one scale
//   fn decode(q: Codes) -> Unit
//   fn scale_value(word: u32, index: u32) -> f32   the scale at `index`, of which `word` is word index / 2

struct Unit {
  a: vec4<f32>,
  b: vec4<f32>,
  c: vec4<f32>,
  d: vec4<f32>,
}

fn dot4(w: vec4<f32>, x: vec4<f32>, sum: f32) -> f32 {
  return fma(w.w, x.w, fma(w.z, x.z, fma(w.y, x.y, fma(w.x, x.x, sum))));
}

// sum over 16 weights; explicit fma: the same bits in every kernel and for every number of rows.
fn dot_unit(w: Unit, x: Unit) -> f32 {
  return dot4(w.d, x.d, dot4(w.c, x.c, dot4(w.b, x.b, dot4(w.a, x.a, 0.0))));
}
