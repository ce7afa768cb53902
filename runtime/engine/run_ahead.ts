/**
 * Decode steps that run ahead of the host: a batch of them is submitted before the first has come back.
 *
 * Of a step that follows another all is known beforehand but the tokens and which sequences have ended. So the host
 * writes the first step, and after each a small kernel (shaders/advance) makes the next out of it and its samples: ids
 * go straight from the sampler to the embedding, whose table is on the GPU for this. Only the rotations, a function of
 * position alone, are still the host's. Each step is a submission of its own, recorded while the GPU works on the one
 * before; all samples come back in one read.
 *
 * A sequence that ends by a stop id, by its limit or by a logit that is no number, ends on the GPU too, and its
 * recurrent state is not written any more: it stands where single steps would have left it. Its row is computed on,
 * one place behind its last token, where its own pages have room and nobody looks.
 *
 * What only the host can see ends a sequence later: a stop string, a cancel. Its state has gone too far by then, and a
 * recurrent state does not go back. Therefore a batch never writes the slot that it starts from (`SequenceCache.keepPast`),
 * and the few tokens up to the last one taken are run again from there. Where the caller looks for such an end
 * (`GenerateRequest.watched`), the next batch waits until the tokens of this one were read.
 *
 * Single steps it stays while experts are paged, for a sequence with more stop ids than a limit holds, and where KV
 * pages do not reach far enough.
 * @module
 */
import type { SequenceLimit } from "../model/ahead.ts";
import { type AheadPrograms, packLimits } from "../model/ahead.ts";
import { type ForwardPrograms, recordLayers } from "../model/forward.ts";
import { readSample, SAMPLE_BYTES } from "../model/sampler.ts";
import type { StepResult } from "./core.ts";
import type { Pace } from "./pace.ts";
import type { RunnerCounters, RunnerParts } from "./runner_parts.ts";
import type { Sample } from "./sequence.ts";
import type { PackedStep, StepsAhead } from "./step.ts";

/** What a batch is made of. */
export interface RunAheadParts extends
  Pick<
    RunnerParts,
    "device" | "steps" | "scratch" | "sampling" | "rotaryDim" | "ropeRow" | "readback"
  > {
  readonly decode: ForwardPrograms;
  readonly ahead: AheadPrograms;
  readonly pace: Pace;
  readonly counters: RunnerCounters;
}

/** Runs batches of decode steps. */
export class RunAhead {
  readonly #parts: RunAheadParts;

  constructor(parts: RunAheadParts) {
    this.#parts = parts;
  }

  /** Runs `packed`, whose buffers are written, and the steps after it. */
  async run(packed: PackedStep, { steps, limits }: StepsAhead): Promise<StepResult> {
    const { readback, pace, counters } = this.#parts;
    const began = performance.now();
    this.#writeStart(packed, limits);
    for (let index = 0; index < steps; index++) {
      if (index > 0) this.#writeRope(packed, index);
      this.#submit(packed, index, index === steps - 1);
    }
    counters.stepsAhead += steps - 1;
    const rows = packed.shape.rows;
    const bytes = await readback.read(steps * rows * SAMPLE_BYTES);
    const [samples, ...further] = Array.from(
      { length: steps },
      (_, i) => Array.from({ length: rows }, (_, row) => readSample(bytes, i * rows + row)),
    );
    pace.took(performance.now() - began, liveSteps([samples!, ...further], limits));
    return { samples: samples!, further, failed: new Map() };
  }

  /** What stays the same in all steps, and what the first one begins with. */
  #writeStart({ tokens }: PackedStep, limits: readonly SequenceLimit[]): void {
    const { device: { queue }, steps, scratch: { ahead, sampler } } = this.#parts;
    queue.writeBuffer(ahead.aheadIds!, 0, Uint32Array.from(tokens));
    queue.writeBuffer(ahead.aheadLimits!, 0, packLimits(limits));
    queue.writeBuffer(steps.heads, 0, Uint32Array.from(tokens, (_, row) => row));
    queue.writeBuffer(sampler.forced!, 0, new Uint32Array(tokens.length));
  }

  #writeRope({ positions }: PackedStep, index: number): void {
    const { device: { queue }, steps, rotaryDim, ropeRow } = this.#parts;
    const rope = new Float32Array(positions.length * rotaryDim);
    positions.forEach(([time, height, width], row) =>
      ropeRow([time + index, height + index, width + index], rope, row * rotaryDim)
    );
    queue.writeBuffer(steps.rope, 0, rope);
  }

  /** Records and submits one step; the GPU may still be at the one before. */
  #submit({ shape: first }: PackedStep, index: number, isLast: boolean): void {
    const { device, decode, ahead, sampling, scratch, readback, counters } = this.#parts;
    const shape = { ...first, maxContext: first.maxContext + index };
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    counters.dispatches += ahead.embed.record(pass, shape) + recordLayers(decode, pass, shape) +
      decode.head.record(pass, shape) + sampling.record(pass, shape) +
      (isLast ? 0 : ahead.advance.record(pass, shape));
    pass.end();
    const bytes = shape.rows * SAMPLE_BYTES;
    encoder.copyBufferToBuffer(
      scratch.sampler.samples!,
      0,
      readback.target,
      index * bytes,
      bytes,
    );
    device.queue.submit([encoder.finish()]);
    counters.submissions++;
  }
}

/** How many steps computed anything: those after the end of the last sequence returned at once. */
function liveSteps(
  rounds: readonly (readonly Sample[])[],
  limits: readonly SequenceLimit[],
): number {
  const lengths = limits.map(({ left, stopIds }, row) => {
    const end = rounds.findIndex((samples) =>
      samples[row]!.nan || stopIds.includes(samples[row]!.id)
    );
    return Math.min(left, end < 0 ? rounds.length : end + 1);
  });
  return Math.min(rounds.length, Math.max(...lengths));
}
