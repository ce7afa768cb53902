/** The sampler's four kernels: scan the logits, select what may be drawn, draw, finish. @module */
import { STEP_WGSL } from "../common/step.ts";
import {
  type Access,
  ceilDiv,
  type Grid,
  type KernelSpec,
  type StepShape,
} from "../kernel_spec.ts";
import draw from "./draw.wgsl" with { type: "text" };
import finish from "./finish.wgsl" with { type: "text" };
import { SAMPLER_BLOCK } from "./layout.ts";
import logits from "./logits.wgsl" with { type: "text" };
import options from "./options.wgsl" with { type: "text" };
import scan from "./scan.wgsl" with { type: "text" };
import search from "./search.wgsl" with { type: "text" };
import select from "./select.wgsl" with { type: "text" };

const READS: Readonly<Record<string, Access>> = {
  step: "read",
  rows: "read",
  segments: "read",
  heads: "read",
  options: "read",
  logits: "read",
  counts: "read",
  bias: "read",
};

/** Blocks of a row of `vocab` logits. */
export function samplerBlocks(vocab: number): number {
  return ceilDiv(vocab, SAMPLER_BLOCK.ids);
}

/** Highest logits and sums of exponentials of each block of a row of `vocab` logits. */
export function samplerScan(vocab: number): KernelSpec {
  return {
    name: "sampler_scan",
    source: STEP_WGSL + options + logits + scan,
    bindings: { ...READS, cells: "read_write", blocks: "read_write" },
    constants: constants(vocab),
  };
}

/** The lowest adjusted logit that may be drawn, and the list of most probable ids. */
export function samplerSelect(vocab: number): KernelSpec {
  return {
    name: "sampler_select",
    source: STEP_WGSL + options + logits + search + select,
    bindings: {
      ...READS,
      cells: "read",
      blocks: "read",
      choices: "read_write",
      samples: "read_write",
    },
    constants: constants(vocab),
  };
}

/** The winner of each block. */
export function samplerDraw(vocab: number): KernelSpec {
  return {
    name: "sampler_draw",
    source: STEP_WGSL + options + logits + draw,
    bindings: { ...READS, cells: "read", choices: "read", winners: "read_write" },
    constants: constants(vocab),
  };
}

/** The row's sample, added to the slot's counts. */
export function samplerFinish(vocab: number): KernelSpec {
  return {
    name: "sampler_finish",
    source: STEP_WGSL + options + finish,
    bindings: {
      step: "read",
      rows: "read",
      segments: "read",
      heads: "read",
      options: "read",
      logits: "read",
      choices: "read",
      winners: "read",
      forced: "read",
      counts: "read_write",
      samples: "read_write",
    },
    constants: constants(vocab),
  };
}

/** One workgroup a block and row: `samplerScan`, `samplerDraw`. */
export function samplerBlockGrid(step: StepShape, vocab: number): Grid {
  return [samplerBlocks(vocab), step.headRows, 1];
}

/** One workgroup a row: `samplerSelect`, `samplerFinish`. */
export function samplerRowGrid(step: StepShape): Grid {
  return [step.headRows, 1, 1];
}

function constants(vocab: number): Record<string, number> {
  return { V: vocab, BLOCKS: samplerBlocks(vocab) };
}
