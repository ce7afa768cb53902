/** What a decode step needs to follow another without the host: the embedding table on the GPU, and the passage. @module */
import { advance, ADVANCE_SEGMENTS, LIMIT } from "../../shaders/advance/advance.ts";
import { embed, embedGrid } from "../../shaders/embed/embed.ts";
import type { KernelCache } from "../gpu/kernel.ts";
import { Program } from "../gpu/program.ts";
import type { Matrix, Scratch, StepBuffers } from "./parts.ts";

/** When a sequence that runs ahead ends by itself. */
export interface SequenceLimit {
  /** Tokens that it may still get; at least 1. */
  readonly left: number;
  /** At most `MOST_STOP_IDS`. */
  readonly stopIds: readonly number[];
}

/** Stop ids of a sequence that fit its limit on the GPU. */
export const MOST_STOP_IDS: number = LIMIT.mostStopIds;

/** Between two steps, and instead of the rows that the host gathers. */
export interface AheadPrograms {
  /** The embedding of the ids that were sampled. */
  readonly embed: Program;
  /** From a step and its samples to the next step. */
  readonly advance: Program;
}

/** Bytes of the buffers by name: `aheadIds` u32 [rows], the input of a step; `aheadLimits` one `Limit` a segment. */
export function aheadScratch(): Record<string, number> {
  return { aheadIds: 4 * ADVANCE_SEGMENTS, aheadLimits: 4 * LIMIT.words * ADVANCE_SEGMENTS };
}

/**
 * Builds the programs.
 * @throws {TypeError} if the table is not BF16
 */
export function buildAhead(
  device: GPUDevice,
  kernels: KernelCache,
  { table, width, steps: { step, rows, segments }, scratch, samples, hidden }: {
    /** BF16 [vocab, width]. */
    readonly table: Matrix;
    readonly width: number;
    readonly steps: StepBuffers;
    /** Buffers of the sizes that `aheadScratch` names. */
    readonly scratch: Scratch;
    readonly samples: GPUBuffer;
    /** f32 [rows, width]: where the embedding goes. */
    readonly hidden: GPUBuffer;
  },
): AheadPrograms {
  if (table.format !== "bf16") {
    throw new TypeError(`Cannot look up embeddings: the table is ${table.format}, wanted bf16`);
  }
  const ids = scratch.aheadIds!;
  const embedding = new Program(device, kernels);
  for (const { firstRow: firstId, rows: count, codes } of table.slices) {
    const shape = { width, firstId, ids: count };
    embedding.add(
      embed(shape),
      { step, ids, table: codes, y: hidden },
      (size) => embedGrid(shape, size),
    );
  }
  const passage = new Program(device, kernels);
  const limits = scratch.aheadLimits!;
  passage.add(advance(), { step, rows, segments, samples, limits, ids }, () => [1, 1, 1]);
  return { embed: embedding, advance: passage };
}

/** The limits of a step's segments as the kernel reads them. */
export function packLimits(limits: readonly SequenceLimit[]): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(limits.length * LIMIT.words);
  limits.forEach(({ left, stopIds }, i) => {
    words.set([left, stopIds.length, ...stopIds], i * LIMIT.words);
  });
  return words;
}
