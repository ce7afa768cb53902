/** One step of the engine as a value: which rows of which sequences run, from and to which state. @module */
import type { StepShape } from "../../shaders/kernel_spec.ts";
import { NONE, ROW, SEGMENT, STEP } from "../../shaders/common/step.ts";
import type { SequenceLimit } from "../model/ahead.ts";
import type { Phase } from "../model/parts.ts";

/** RoPE positions of a row: time, height, width. Equal for text. */
export type Positions = readonly [time: number, height: number, width: number];

/** Consecutive rows of one sequence. */
export interface StepSegment {
  /** Input token ids, one a row. */
  readonly tokens: readonly number[];
  /** One entry a row. */
  readonly positions: readonly Positions[];
  /** Tokens in the KV cache before the first row. */
  readonly context: number;
  /** KV page of each 32 tokens, covering context + rows. */
  readonly pages: readonly number[];
  readonly arena: number;
  /** Recurrent slot to start from; null starts from zeros. */
  readonly stateRead: number | null;
  /** Recurrent slot the new state goes to. */
  readonly stateWrite: number;
  /** Slot of the sequence's sampling options. */
  readonly sampler: number;
}

/** A row whose logits are wanted. */
export interface HeadRow {
  /** Index among all rows of the step. */
  readonly row: number;
  /** Prompt scoring: the id whose log-probability is wanted; null samples one. */
  readonly forced: number | null;
}

/** Further steps of the same sequences, each of which gets the token that the step before it has sampled. */
export interface StepsAhead {
  /** Steps in all; at least 2. */
  readonly steps: number;
  /** When each segment ends by itself. */
  readonly limits: readonly SequenceLimit[];
}

/** Everything that one step computes. */
export interface Step {
  readonly phase: Phase;
  readonly segments: readonly StepSegment[];
  readonly heads: readonly HeadRow[];
  /** Present if further steps follow without the host: each segment then has one row, and each row is sampled. */
  readonly ahead?: StepsAhead;
}

/** The step's description in the layout of the shaders' structs, ready to be written. */
export interface PackedStep {
  readonly shape: StepShape;
  readonly header: Uint32Array<ArrayBuffer>;
  readonly rows: Uint32Array<ArrayBuffer>;
  readonly segments: Uint32Array<ArrayBuffer>;
  readonly pages: Uint32Array<ArrayBuffer>;
  /** Input ids of all rows. */
  readonly tokens: readonly number[];
  /** Positions of all rows. */
  readonly positions: readonly Positions[];
}

/** How many rows the step has. */
export function rowCount(step: Step): number {
  return step.segments.reduce((sum, segment) => sum + segment.tokens.length, 0);
}

/** Packs a step for the GPU. */
export function packStep(step: Step): PackedStep {
  const total = rowCount(step);
  const rows = new Uint32Array(total * ROW.words);
  const segments = new Uint32Array(step.segments.length * SEGMENT.words);
  const pages: number[] = [];
  let first = 0;
  let maxContext = 0;
  step.segments.forEach((segment, index) => {
    segments.set(segmentWords(segment, first, pages.length), index * SEGMENT.words);
    segment.tokens.forEach((token, r) => {
      const at = (first + r) * ROW.words;
      rows[at + ROW.cacheIndex] = segment.context + r;
      rows[at + ROW.segment] = index;
      rows[at + ROW.token] = token;
    });
    pages.push(...segment.pages);
    first += segment.tokens.length;
    maxContext = Math.max(maxContext, segment.context + segment.tokens.length);
  });
  const header = new Uint32Array(STEP.words);
  header[STEP.rows] = total;
  header[STEP.segments] = step.segments.length;
  header[STEP.headRows] = step.heads.length;
  return {
    shape: { rows: total, segments: step.segments.length, headRows: step.heads.length, maxContext },
    header,
    rows,
    segments,
    pages: Uint32Array.from(pages),
    tokens: step.segments.flatMap((segment) => segment.tokens),
    positions: step.segments.flatMap((segment) => segment.positions),
  };
}

function segmentWords(segment: StepSegment, firstRow: number, pageTable: number): number[] {
  const words = new Array<number>(SEGMENT.words).fill(0);
  words[SEGMENT.firstRow] = firstRow;
  words[SEGMENT.rowCount] = segment.tokens.length;
  words[SEGMENT.context] = segment.context;
  words[SEGMENT.pageTable] = pageTable;
  words[SEGMENT.stateRead] = segment.stateRead ?? NONE;
  words[SEGMENT.stateWrite] = segment.stateWrite;
  words[SEGMENT.arena] = segment.arena;
  words[SEGMENT.sampler] = segment.sampler;
  return words;
}
