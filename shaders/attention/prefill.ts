/** Attention of many rows by tiles of queries and keys. @module */
import { KV_FORMATS } from "../common/kv_format.ts";
import { STEP_WGSL } from "../common/step.ts";
import type { Grid, KernelSpec, StepShape } from "../kernel_spec.ts";
import { type CacheLayout, checkAttention } from "../qk_prepare/qk_prepare.ts";
import type { HeadSizes } from "./decode.ts";
import cacheSource from "./cache.wgsl" with { type: "text" };
import prefill from "./prefill.wgsl" with { type: "text" };
import tile from "./tile.wgsl" with { type: "text" };

/** Queries of a workgroup: rows times the query heads of one key head. */
const TILE_QUERIES = 64;

/**
 * `out` [rows, heads, headDim] f32, gated by the gates in `qkv`; keys and values of the rows are already in the pages.
 * @throws {RangeError} if a size is outside what the kernel is made for
 */
export function attentionPrefill(shape: HeadSizes, cache: CacheLayout): KernelSpec {
  checkAttention(shape);
  const share = shape.heads / shape.kvHeads;
  if (share > TILE_QUERIES) {
    throw new RangeError(
      `Cannot attend with ${share} query heads a key head: expected at most ${TILE_QUERIES}`,
    );
  }
  return {
    name: "attention_prefill",
    source: STEP_WGSL + KV_FORMATS[cache.format].snippet + cacheSource + tile + prefill,
    bindings: {
      step: "read",
      rows: "read",
      segments: "read",
      pages: "read",
      q: "read",
      qkv: "read",
      k: "read",
      v: "read",
      out: "read_write",
    },
    constants: {
      HEADS: shape.heads,
      KV_HEADS: shape.kvHeads,
      D: shape.headDim,
      PAGE_TOKENS: cache.pageTokens,
      ARENA: cache.arena,
      HIGHS: Math.max(4, shape.headDim / 16),
      // A tile of 64 keys is as much as fits beside the queries.
      KEYS_A_THREAD: shape.headDim > 128 ? 4 : 8,
    },
  };
}

/** One workgroup a tile and key head; each segment may end in a short tile. */
export function attentionPrefillGrid(step: StepShape, shape: HeadSizes): Grid {
  const rows = Math.floor(TILE_QUERIES * shape.kvHeads / shape.heads);
  return [Math.floor(step.rows / rows) + step.segments, shape.kvHeads, 1];
}
