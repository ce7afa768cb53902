// What decode.wgsl and decode_broadcast.wgsl are given.

override KV_HEADS: u32;
override GROUP: u32;       // query heads of a key head
override D: u32;
override PAGE_TOKENS: u32; // a multiple of 4
override ARENA: u32;
override SPLITS: u32;      // capacity of the outputs

const LOWEST: f32 = -1e30;

@group(0) @binding(0) var<storage, read> step: Step;
@group(0) @binding(1) var<storage, read> rows: array<Row>;
@group(0) @binding(2) var<storage, read> segments: array<Segment>;
@group(0) @binding(3) var<storage, read> pages: array<u32>;
@group(0) @binding(4) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read> k_pages: array<KvOctet>;
@group(0) @binding(6) var<storage, read> v_pages: array<KvOctet>;
@group(0) @binding(7) var<storage, read_write> sums: array<vec4<f32>>;
@group(0) @binding(8) var<storage, read_write> totals: array<vec2<f32>>;
