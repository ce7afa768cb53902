/** Attention of a few rows, each split over its context, and the join of the splits. @module */
import { KV_FORMATS } from "../common/kv_format.ts";
import { STEP_WGSL } from "../common/step.ts";
import { ceilDiv, type Grid, type KernelSpec, type StepShape } from "../kernel_spec.ts";
import { type CacheLayout, checkAttention } from "../qk_prepare/qk_prepare.ts";
import cacheSource from "./cache.wgsl" with { type: "text" };
import decode from "./decode.wgsl" with { type: "text" };
import broadcasting from "./decode_broadcast.wgsl" with { type: "text" };
import inputs from "./decode_inputs.wgsl" with { type: "text" };
import merge from "./merge.wgsl" with { type: "text" };
import slice from "./slice.wgsl" with { type: "text" };
import split from "./split.wgsl" with { type: "text" };

/** Heads of a gated attention mixer. */
export interface HeadSizes {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
}

/**
 * Tokens of the shortest split, and most splits of a row. A GPU has many cores to fill; a CPU has few, and every split costs
 * it another reading of the queries.
 */
const SPLITS = {
  shared: { shortest: 64, most: 256 },
  broadcast: { shortest: 128, most: 16 },
};
/** Most query heads that a workgroup of the decode kernels takes. */
const BLOCK_HEADS = 8;

/** Room for the splits of rows that see up to `maxContext` tokens; if they are cut for broadcasts, less will do. */
export function attentionSplits(maxContext: number, broadcast = false): number {
  const { shortest, most } = cutOf(broadcast);
  return Math.min(most, ceilDiv(maxContext, shortest));
}

/**
 * The splits of each row: `sums` [rows, splits, heads, headDim] and `totals` [rows, splits, heads, 2], f32.
 * `broadcast`, of a `TileCut`: threads tell each other what all need, instead of going through workgroup memory.
 * @throws {RangeError} if a size is outside what the kernel is made for
 */
export function attentionDecode(
  shape: HeadSizes,
  cache: CacheLayout & { readonly splits: number },
  broadcast: boolean,
): KernelSpec {
  checkAttention(shape);
  const block = ceilDiv(shape.heads / shape.kvHeads, blocks(shape));
  return {
    name: broadcast ? "attention_decode_broadcast" : "attention_decode",
    source: STEP_WGSL + KV_FORMATS[cache.format].snippet + split + cacheSource + inputs +
      (broadcast ? slice + broadcasting : decode),
    bindings: {
      step: "read",
      rows: "read",
      segments: "read",
      pages: "read",
      q: "read",
      k: "read",
      v: "read",
      sums: "read_write",
      totals: "read_write",
    },
    constants: {
      KV_HEADS: shape.kvHeads,
      GROUP: shape.heads / shape.kvHeads,
      ...(broadcast ? { COUNT: block } : { BLOCK: block }),
      D: shape.headDim,
      PAGE_TOKENS: cache.pageTokens,
      ARENA: cache.arena,
      SPLITS: cache.splits,
      ...splitConstants(broadcast),
    },
  };
}

/** One workgroup a split, block of heads and row. */
export function attentionDecodeGrid(step: StepShape, shape: HeadSizes, broadcast: boolean): Grid {
  return [attentionSplits(step.maxContext, broadcast), shape.kvHeads * blocks(shape), step.rows];
}

/** Joins the splits into `out` [rows, heads, headDim] f32, gated by the gates in `qkv`; `broadcast` as they were made. */
export function attentionMerge(
  shape: HeadSizes,
  cache: { readonly splits: number },
  broadcast: boolean,
): KernelSpec {
  return {
    name: "attention_merge",
    source: STEP_WGSL + split + merge,
    bindings: {
      step: "read",
      rows: "read",
      qkv: "read",
      sums: "read",
      totals: "read",
      out: "read_write",
    },
    constants: {
      HEADS: shape.heads,
      KV_HEADS: shape.kvHeads,
      D: shape.headDim,
      SPLITS: cache.splits,
      ...splitConstants(broadcast),
    },
  };
}

/** One thread a quad of elements. */
export function attentionMergeGrid(step: StepShape, shape: HeadSizes): Grid {
  return [ceilDiv(shape.heads * shape.headDim / 4, 64), step.rows, 1];
}

function blocks(shape: HeadSizes): number {
  return ceilDiv(shape.heads / shape.kvHeads, BLOCK_HEADS);
}

function cutOf(broadcast: boolean): { readonly shortest: number; readonly most: number } {
  return broadcast ? SPLITS.broadcast : SPLITS.shared;
}

function splitConstants(broadcast: boolean): Record<string, number> {
  const { shortest, most } = cutOf(broadcast);
  return { MIN_SPLIT: shortest, MAX_SPLITS: most };
}
