/** Norm and rotation of query and key, and the store of key and value into the cache. @module */
import { KV_FORMATS, type KvFormat } from "../common/kv_format.ts";
import { STEP_WGSL } from "../common/step.ts";
import type { Grid, KernelSpec, StepShape } from "../kernel_spec.ts";
import type { AttentionSizes } from "./naive.ts";
import source from "./qk_prepare.wgsl" with { type: "text" };
import broadcasting from "./qk_prepare_broadcast.wgsl" with { type: "text" };

/** Where a kernel finds keys and values. */
export interface CacheLayout {
  /** Tokens in a page; a power of two, at least 4. */
  readonly pageTokens: number;
  /** Which arena is bound: rows of sequences in other arenas are left alone. */
  readonly arena: number;
  /** How its elements are stored. */
  readonly format: KvFormat;
}

/**
 * From the projected rows `qkv` to `q` [rows, heads, headDim] f32, and k and v, as `cache.format` says, in the row's page of the arena.
 * `broadcast`, of a `TileCut`: where whole quads are rotated, few threads tell each other their sums, instead of waiting for each other.
 * @throws {RangeError} if a size is outside what the attention kernels are made for
 */
export function qkPrepare(
  shape: AttentionSizes,
  cache: CacheLayout,
  broadcast: boolean,
): KernelSpec {
  checkAttention(shape);
  const broadcasts = broadcast && shape.rotaryDim % 8 === 0;
  return {
    name: broadcasts ? "qk_prepare_broadcast" : "qk_prepare",
    source: STEP_WGSL + KV_FORMATS[cache.format].snippet + (broadcasts ? broadcasting : source),
    bindings: {
      step: "read",
      rows: "read",
      segments: "read",
      pages: "read",
      rope: "read",
      qkv: "read",
      qNorm: "read",
      kNorm: "read",
      q: "read_write",
      k: "read_write",
      v: "read_write",
    },
    constants: {
      HEADS: shape.heads,
      KV_HEADS: shape.kvHeads,
      D: shape.headDim,
      ROTARY: shape.rotaryDim,
      EPSILON: shape.epsilon,
      PAGE_TOKENS: cache.pageTokens,
      ARENA: cache.arena,
    },
  };
}

/** One workgroup a row and head; keys follow the queries. */
export function qkPrepareGrid(step: StepShape, shape: AttentionSizes): Grid {
  return [step.rows, shape.heads + shape.kvHeads, 1];
}

/**
 * Checks that the attention kernels can be specialised to `shape`.
 * @throws {RangeError} unless headDim is a power of two from 16 to 256 and heads divide evenly
 */
export function checkAttention(shape: Omit<AttentionSizes, "epsilon" | "rotaryDim">): void {
  const { heads, kvHeads, headDim } = shape;
  if (headDim < 16 || headDim > 256 || (headDim & (headDim - 1)) !== 0) {
    throw new RangeError(
      `Cannot attend with heads of ${headDim}: expected a power of two from 16 to 256`,
    );
  }
  if (heads % kvHeads !== 0) {
    throw new RangeError(
      `Cannot share ${kvHeads} key heads among ${heads} query heads: expected a divisor`,
    );
  }
}
