/** Sequences with keys and values in scrambled, otherwise poisoned pages, for tests of attention. @module */
import { attentionNaive } from "../../shaders/attention/naive.ts";
import type { HeadSizes } from "../../shaders/attention/decode.ts";
import { KV_FORMATS, type KvFormat } from "../../shaders/common/kv_format.ts";
import { sharingWays } from "../gpu.ts";
import { hash, pattern } from "../pattern.ts";
import { stepBuffers } from "../step.ts";

/** Tokens in a page of these tests: the engine's own. */
export const PAGE_TOKENS = 32;

const WAYS = await sharingWays();

/**
 * The formats to test with each way of sharing keys and values, a name for both, and the largest relative RMS of an output.
 * Keys and values are of the format to begin with, so that in all it is the f32 sums that differ.
 */
export const KV_WAYS = (["f32", "f16"] as const).flatMap((format: KvFormat) =>
  WAYS.map((broadcast) => ({
    format,
    broadcast,
    way: `of ${format} with ${broadcast ? "broadcasts" : "workgroup memory"}`,
    ratio: 2e-6,
  }))
);

/** One sequence of a step: its last `rows` tokens are the step's rows. */
export interface KvSequence {
  readonly tokens: number;
  readonly rows: number;
  readonly arena?: number;
  /** Makes its numbers differ from those of other sequences. */
  readonly salt: number;
}

/** What the attention kernels bind, and what they should make of it. */
export interface KvCase {
  readonly step: Uint32Array<ArrayBuffer>;
  readonly rows: Uint32Array<ArrayBuffer>;
  readonly segments: Uint32Array<ArrayBuffer>;
  readonly pages: Uint32Array<ArrayBuffer>;
  readonly q: Float32Array<ArrayBuffer>;
  readonly qkv: Float32Array<ArrayBuffer>;
  /** How keys and values are stored. */
  readonly format: KvFormat;
  /** Keys and values of each arena. */
  readonly arenas: readonly { readonly k: KvWords; readonly v: KvWords }[];
  readonly maxContext: number;
  /** [rows, heads, headDim] in double precision. */
  readonly want: Float64Array;
}

type KvWords = Uint32Array<ArrayBuffer>;

/** NaN as f32 and, twice, as f16: an entry that no kernel may read. */
const POISON = 0x7fff7fff;

/** Lays out `sequences`; `scramble` changes where their pages lie and nothing else. */
export function kvCase(
  sizes: HeadSizes,
  sequences: readonly KvSequence[],
  { scramble = 1, format = "f16" }: { scramble?: number; format?: KvFormat } = {},
): KvCase {
  const needed = sequences.map((s) => Math.ceil(s.tokens / PAGE_TOKENS));
  const count = needed.reduce((a, b) => a + b, 0) + 3;
  const words = count * sizes.kvHeads * PAGE_TOKENS * sizes.headDim *
    KV_FORMATS[format].elementBytes / 4;
  const arenas = [0, 1].map(() => ({
    k: new Uint32Array(words).fill(POISON),
    v: new Uint32Array(words).fill(POISON),
  }));
  const free = shuffled(count, scramble);
  // Each table is followed by an entry that points nowhere.
  const pages: number[] = [];
  const list = sequences.map((s, i) => {
    const pageTable = pages.length;
    pages.push(...free.splice(0, needed[i]), 0xfffffff);
    return { rows: s.rows, context: s.tokens - s.rows, pageTable, arena: s.arena ?? 0 };
  });
  const rowWidth = 2 * (sizes.heads + sizes.kvHeads) * sizes.headDim;
  const total = sequences.reduce((sum, s) => sum + s.rows, 0);
  const q = new Float32Array(total * sizes.heads * sizes.headDim);
  const qkv = new Float32Array(total * rowWidth).fill(NaN);
  const want = new Float64Array(q.length);
  let first = 0;
  sequences.forEach((s, i) => {
    const numbers = sequenceNumbers(sizes, s, format);
    const at = first * sizes.heads * sizes.headDim;
    q.set(numbers.q, at);
    want.set(attentionNaive(numbers, sizes), at);
    for (let head = 0; head < s.rows * sizes.heads; head++) {
      const row = first + Math.floor(head / sizes.heads);
      qkv.set(
        numbers.gate.subarray(head * sizes.headDim, (head + 1) * sizes.headDim),
        row * rowWidth + (2 * (head % sizes.heads) + 1) * sizes.headDim,
      );
    }
    const table = pages.slice(list[i]!.pageTable);
    const arena = arenas[s.arena ?? 0]!;
    writePages(kvElements(arena.k, format), numbers.k, table, sizes);
    writePages(kvElements(arena.v, format), numbers.v, table, sizes);
    first += s.rows;
  });
  return {
    ...stepBuffers(list),
    pages: new Uint32Array(pages),
    q,
    qkv,
    format,
    arenas,
    maxContext: Math.max(...sequences.map((s) => s.tokens)),
    want,
  };
}

/** Numbers of one sequence: a longer one with the same salt and rows begins with the same keys and values. */
function sequenceNumbers(sizes: HeadSizes, s: KvSequence, format: KvFormat) {
  const tokens = s.tokens * sizes.kvHeads * sizes.headDim;
  const rowWidth = sizes.heads * sizes.headDim;
  // Rows are numbered by token, so that a row has the same query in every chunk.
  const rows = (salt: number, scale: number) =>
    Float64Array.from(pattern(s.tokens * rowWidth, salt), (x) => x * scale)
      .subarray((s.tokens - s.rows) * rowWidth);
  const round = format === "f16" ? Math.f16round : Math.fround;
  const stored = (salt: number) => Float64Array.from(pattern(tokens, salt), round);
  return {
    q: Float64Array.from(rows(s.salt * 10 + 1, 4), Math.fround),
    gate: rows(s.salt * 10 + 2, 3),
    k: stored(s.salt * 10 + 3),
    v: stored(s.salt * 10 + 4),
  };
}

/** The elements that lie in words of `format`. */
export function kvElements(
  words: { readonly buffer: ArrayBuffer },
  format: KvFormat,
): Float32Array<ArrayBuffer> | Float16Array<ArrayBuffer> {
  return format === "f32" ? new Float32Array(words.buffer) : new Float16Array(words.buffer);
}

function writePages(
  elements: Float32Array | Float16Array,
  values: Float64Array,
  table: readonly number[],
  { kvHeads, headDim }: HeadSizes,
): void {
  for (let i = 0; i < values.length; i++) {
    const token = Math.floor(i / (kvHeads * headDim));
    const head = Math.floor(i / headDim) % kvHeads;
    const slot = (table[Math.floor(token / PAGE_TOKENS)]! * kvHeads + head) * PAGE_TOKENS +
      token % PAGE_TOKENS;
    elements[slot * headDim + i % headDim] = values[i]!;
  }
}

function shuffled(count: number, salt: number): number[] {
  return Array.from({ length: count }, (_, i) => i)
    .sort((a, b) => hash(a, salt) - hash(b, salt));
}
