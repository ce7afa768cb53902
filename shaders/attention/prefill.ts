/** Attention of many rows by tiles of queries and keys. @module */
import { KV_FORMATS } from "../common/kv_format.ts";
import { STEP_WGSL } from "../common/step.ts";
import type { Grid, KernelSpec, StepShape } from "../kernel_spec.ts";
import { type CacheLayout, checkAttention } from "../qk_prepare/qk_prepare.ts";
import type { HeadSizes } from "./decode.ts";
import cacheSource from "./cache.wgsl" with { type: "text" };
import prefill from "./prefill.wgsl" with { type: "text" };
import broadcasting from "./prefill_broadcast.wgsl" with { type: "text" };
import slice from "./slice.wgsl" with { type: "text" };
import tile from "./tile.wgsl" with { type: "text" };

/** Most queries of a workgroup: rows times the query heads of one key head. */
const TILE_QUERIES = { shared: 64, broadcast: 8 };

/**
 * `out` [rows, heads, headDim] f32, gated by the gates in `qkv`; keys and values of the rows are already in the pages.
 * `broadcast`, of a `TileCut`: where a workgroup of 8 threads can take all heads of a key head, they tell each other what all
 * need, instead of going through workgroup memory.
 * @throws {RangeError} if a size is outside what the kernel is made for
 */
export function attentionPrefill(
  shape: HeadSizes,
  cache: CacheLayout,
  broadcast: boolean,
): KernelSpec {
  checkAttention(shape);
  const broadcasts = broadcast && canBroadcast(shape);
  const share = shape.heads / shape.kvHeads;
  if (share > TILE_QUERIES.shared) {
    throw new RangeError(
      `Cannot attend with ${share} query heads a key head: expected at most ${TILE_QUERIES.shared}`,
    );
  }
  return {
    name: broadcasts ? "attention_prefill_broadcast" : "attention_prefill",
    source: STEP_WGSL + KV_FORMATS[cache.format].snippet + cacheSource + tile +
      (broadcasts ? slice + broadcasting : prefill),
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
      ...(broadcasts
        ? { COUNT: share * Math.floor(TILE_QUERIES.broadcast / share) }
        // A tile of 64 keys is as much as fits beside the queries.
        : { HIGHS: Math.max(4, shape.headDim / 16), KEYS_A_THREAD: shape.headDim > 128 ? 4 : 8 }),
    },
  };
}

/** One workgroup a tile and key head; each segment may end in a short tile. */
export function attentionPrefillGrid(step: StepShape, shape: HeadSizes, broadcast: boolean): Grid {
  const queries = broadcast && canBroadcast(shape) ? TILE_QUERIES.broadcast : TILE_QUERIES.shared;
  const rows = Math.floor(queries * shape.kvHeads / shape.heads);
  return [Math.floor(step.rows / rows) + step.segments, shape.kvHeads, 1];
}

function canBroadcast({ heads, kvHeads }: HeadSizes): boolean {
  return heads / kvHeads <= TILE_QUERIES.broadcast;
}
