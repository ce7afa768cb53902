/** What steps are run with. Types only: the runner and its batches share them. @module */
import type { Program } from "../gpu/program.ts";
import type { Readback } from "../gpu/readback.ts";
import type { AheadPrograms } from "../model/ahead.ts";
import type { ForwardPrograms } from "../model/forward.ts";
import type { Phase, StepBuffers } from "../model/parts.ts";
import type { RopeRow } from "../model/rope.ts";
import type { SamplerSizes } from "../model/sampler.ts";
import type { ModelScratch } from "../model/scratch.ts";
import type { ExpertStage } from "./expert_stage.ts";
import type { Pace } from "./pace.ts";

/** What the runner drives. */
export interface RunnerParts {
  readonly device: GPUDevice;
  readonly programs: Readonly<Record<Phase, ForwardPrograms>>;
  readonly steps: StepBuffers;
  readonly scratch: ModelScratch;
  /** Samples the head rows. */
  readonly sampling: Program;
  readonly samplerSizes: SamplerSizes;
  /** f32 pairs a row of the rope table. */
  readonly rotaryDim: number;
  readonly ropeRow: RopeRow;
  /** Bytes of one embedding row; a multiple of 4. */
  readonly embedBytes: number;
  /** Copies the embedding row of `token` into `into`. */
  readonly readEmbedding: (token: number, into: Uint8Array<ArrayBuffer>) => void;
  readonly readback: Readback;
  /** Pages experts until all are resident; null in a dense model. */
  readonly experts: ExpertStage | null;
  /** What takes one decode step to the next without the host; null where that is not wanted. */
  readonly ahead: AheadPrograms | null;
  readonly pace: Pace;
}

/** Totals since start. */
export interface RunnerCounters {
  dispatches: number;
  submissions: number;
  /** Decode steps that followed another without the host between them. */
  stepsAhead: number;
}
