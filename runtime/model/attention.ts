/** The gated attention mixer between its projections: norm, rotation, cache, attention and gate. @module */
import {
  attentionDecode,
  attentionDecodeGrid,
  attentionMerge,
  attentionMergeGrid,
  attentionSplits,
} from "../../shaders/attention/decode.ts";
import { attentionPrefill, attentionPrefillGrid } from "../../shaders/attention/prefill.ts";
import { tileCut } from "../../shaders/common/tile.ts";
import type { AttentionSizes } from "../../shaders/qk_prepare/naive.ts";
import { qkPrepare, qkPrepareGrid } from "../../shaders/qk_prepare/qk_prepare.ts";
import type { Bound } from "../gpu/kernel.ts";
import type { Program } from "../gpu/program.ts";
import {
  type AttentionWeights,
  DECODE_ROWS,
  type KvArena,
  type KvFormat,
  PAGE_TOKENS,
  type Phase,
  type Scratch,
  type StepBuffers,
} from "./parts.ts";

export type { AttentionSizes };

/** What the mixer of one layer is made of. */
export interface AttentionParts {
  readonly sizes: AttentionSizes;
  /** Most tokens of a sequence: as given to `attentionScratch`. */
  readonly maxContext: number;
  readonly steps: StepBuffers;
  /** Buffers of the sizes that `attentionScratch` names. */
  readonly scratch: Scratch;
  readonly weights: Pick<AttentionWeights, "qNorm" | "kNorm">;
  /** This layer's pages; a segment's `arena` is an index into them. */
  readonly arenas: readonly KvArena[];
  /** How the pages hold their elements. */
  readonly kvFormat: KvFormat;
}

/** Bytes of the scratch buffers that all attention layers share, by name. */
export function attentionScratch(
  sizes: AttentionSizes,
  maxRows: number,
  maxContext: number,
): Record<string, number> {
  const parts = Math.min(maxRows, DECODE_ROWS) * attentionSplits(maxContext) * sizes.heads;
  return {
    attentionQuery: 4 * maxRows * sizes.heads * sizes.headDim,
    attentionSums: 4 * parts * sizes.headDim,
    attentionTotals: 8 * parts,
  };
}

/**
 * Appends the mixer: from `qkv` [rows, 2 (heads + kvHeads) headDim] f32, laid out as `AttentionWeights.qkv`, to
 * `out` [rows, heads headDim] f32, the input of the output projection. Stores the rows' keys and values on the way.
 */
export function addAttention(
  program: Program,
  phase: Phase,
  parts: AttentionParts & { readonly qkv: Bound; readonly out: Bound },
): void {
  const { sizes, steps, scratch, weights, arenas, kvFormat: format, qkv, out } = parts;
  const { step, rows, segments, pages, rope } = steps;
  const splits = attentionSplits(parts.maxContext);
  const q = named(scratch, "attentionQuery");
  const sums = named(scratch, "attentionSums");
  const totals = named(scratch, "attentionTotals");
  const { broadcast } = tileCut(program.kernels);
  arenas.forEach(({ k, v }, arena) => {
    const cache = { pageTokens: PAGE_TOKENS, arena, format };
    program.add(
      qkPrepare(sizes, cache, broadcast),
      {
        step,
        rows,
        segments,
        pages,
        rope,
        qkv,
        qNorm: weights.qNorm,
        kNorm: weights.kNorm,
        q,
        k,
        v,
      },
      (shape) => qkPrepareGrid(shape, sizes),
    );
  });
  arenas.forEach(({ k, v }, arena) => {
    const cache = { pageTokens: PAGE_TOKENS, arena, format };
    const read = { step, rows, segments, pages, q, k, v };
    if (phase === "decode") {
      program.add(
        attentionDecode(sizes, { ...cache, splits }, broadcast),
        { ...read, sums, totals },
        (shape) => attentionDecodeGrid(shape, sizes, broadcast),
      );
    } else {
      program.add(
        attentionPrefill(sizes, cache, broadcast),
        { ...read, qkv, out },
        (shape) => attentionPrefillGrid(shape, sizes, broadcast),
      );
    }
  });
  if (phase === "decode") {
    program.add(
      attentionMerge(sizes, { splits }, broadcast),
      { step, rows, qkv, sums, totals, out },
      (shape) => attentionMergeGrid(shape, sizes),
    );
  }
}

function named(scratch: Scratch, name: string): GPUBuffer {
  const buffer = scratch[name];
  if (!buffer) {
    throw new TypeError(
      `Cannot add attention: scratch buffer "${name}" is missing, wanted those of attentionScratch()`,
    );
  }
  return buffer;
}
