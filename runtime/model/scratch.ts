/** Buffers that a step works in: sized for the largest step at start, shared by all layers. @module */
import { ROW, SEGMENT, STEP } from "../../shaders/common/step.ts";
import { defaultVariant } from "../../shaders/common/variants.ts";
import type { GpuMemory } from "../gpu/memory.ts";
import { aheadScratch } from "./ahead.ts";
import { attentionScratch } from "./attention.ts";
import type { ModelConfig } from "./config.ts";
import { deltaScratch } from "./delta_net.ts";
import { squareParts } from "./linear.ts";
import { mlpScratch } from "./mlp.ts";
import { moeScratch } from "./moe_parts.ts";
import { DECODE_ROWS, PAGE_TOKENS, type Scratch, type StepBuffers } from "./parts.ts";
import { samplerScratch, type SamplerSizes } from "./sampler.ts";

/** What the sampler of a model is sized for. */
export function samplerSizes({ vocab }: ModelConfig, { maxSequences }: StepBounds): SamplerSizes {
  return { vocab, slots: maxSequences, maxHeadRows: DECODE_ROWS };
}

/** Bounds of any step. */
export interface StepBounds {
  readonly maxRows: number;
  readonly maxSequences: number;
  /** Tokens of one sequence. */
  readonly maxContext: number;
}

/** All scratch of the model; f32 unless said otherwise. */
export interface ModelScratch {
  readonly maxRows: number;
  /** u32 [maxRows]: 0, 1, 2, ... */
  readonly embedIds: GPUBuffer;
  /** BF16 [maxRows, hidden]: embedding rows gathered by the host. */
  readonly embedRows: GPUBuffer;
  /** [maxRows, hidden]: the residual stream. */
  readonly hidden: GPUBuffer;
  /** [maxRows, hidden]: normed, or scaled by the norm's weight alone (`SplitNorm`). */
  readonly normed: GPUBuffer;
  /** [DECODE_ROWS, blocks of hidden]: sums of squares of the residual stream (`SplitNorm`). */
  readonly squares: GPUBuffer;
  /** [maxRows, widest input projection]. */
  readonly mixed: GPUBuffer;
  /** [maxRows, widest mixer output]. */
  readonly mixerOut: GPUBuffer;
  /** [DECODE_ROWS, hidden]. */
  readonly headHidden: GPUBuffer;
  /** [DECODE_ROWS, hidden]. */
  readonly headNormed: GPUBuffer;
  /** [DECODE_ROWS, vocab]. */
  readonly logits: GPUBuffer;
  readonly delta: Scratch;
  readonly attention: Scratch;
  readonly block: Scratch;
  readonly sampler: Scratch;
  readonly ahead: Scratch;
}

/** Bytes of every buffer of `ModelScratch` and `StepBuffers`, by group and name. */
function scratchSizes(
  config: ModelConfig,
  bounds: StepBounds,
): Readonly<Record<string, Readonly<Record<string, number>>>> {
  const { hidden, vocab, attention, delta, mlp } = config;
  const { maxRows, maxSequences, maxContext } = bounds;
  const values = delta.valueHeads * delta.valueDim;
  const deltaWidth = 2 * delta.keyHeads * delta.keyDim + 2 * values;
  const attentionWidth = 2 * (attention.heads + attention.kvHeads) * attention.headDim;
  const heads = attention.heads * attention.headDim;
  return {
    steps: {
      step: STEP.words * 4,
      rows: maxRows * ROW.words * 4,
      segments: maxSequences * SEGMENT.words * 4,
      pages: maxSequences * Math.ceil(maxContext / PAGE_TOKENS) * 4,
      rope: maxRows * attention.rotaryDim * 4,
      heads: DECODE_ROWS * 4,
    },
    main: {
      embedIds: maxRows * 4,
      embedRows: maxRows * hidden * 2,
      hidden: maxRows * hidden * 4,
      normed: maxRows * hidden * 4,
      // For the smallest blocks of any device.
      squares: DECODE_ROWS * squareParts({ width: hidden }, defaultVariant(false)) * 4,
      mixed: maxRows * Math.max(deltaWidth, attentionWidth) * 4,
      mixerOut: maxRows * Math.max(values, heads) * 4,
      headHidden: DECODE_ROWS * hidden * 4,
      headNormed: DECODE_ROWS * hidden * 4,
      logits: DECODE_ROWS * vocab * 4,
    },
    delta: deltaScratch(delta, maxRows),
    attention: attentionScratch({ ...attention, epsilon: config.rmsEps }, maxRows, maxContext),
    block: mlp.kind === "moe"
      ? moeScratch({ hidden, ...mlp, layers: config.layers }, maxRows)
      : mlpScratch(mlp.dff, maxRows),
    sampler: samplerScratch(samplerSizes(config, bounds)),
    ahead: aheadScratch(),
  };
}

/** Bytes of all scratch together, as allocated. */
export function scratchBytes(config: ModelConfig, bounds: StepBounds): number {
  let sum = 0;
  for (const group of Object.values(scratchSizes(config, bounds))) {
    for (const bytes of Object.values(group)) sum += Math.max(16, Math.ceil(bytes / 16) * 16);
  }
  return sum;
}

/** Most rows whose buffers all fit a binding, up to `wanted`. */
export function rowsThatFit(config: ModelConfig, bounds: StepBounds, maxBinding: number): number {
  const fits = (maxRows: number) =>
    Object.values(scratchSizes(config, { ...bounds, maxRows }))
      .every((group) => Object.values(group).every((bytes) => bytes <= maxBinding));
  let rows = bounds.maxRows;
  while (rows > DECODE_ROWS && !fits(rows)) rows = Math.max(DECODE_ROWS, Math.floor(rows / 2));
  return rows;
}

/** Allocates everything. */
export function allocateScratch(
  memory: GpuMemory,
  config: ModelConfig,
  bounds: StepBounds,
): { readonly scratch: ModelScratch; readonly steps: StepBuffers } {
  const groups: Record<string, Record<string, GPUBuffer>> = {};
  for (const [group, sizes] of Object.entries(scratchSizes(config, bounds))) {
    groups[group] = Object.fromEntries(
      Object.entries(sizes).map((
        [name, bytes],
      ) => [name, memory.storage("activations", name, bytes)]),
    );
  }
  const { steps, main, ...kinds } = groups;
  const scratch = { maxRows: bounds.maxRows, ...main, ...kinds };
  return { scratch: scratch as unknown as ModelScratch, steps: steps as unknown as StepBuffers };
}
