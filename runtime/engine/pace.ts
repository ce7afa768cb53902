/** How many decode steps are run ahead of the host: as many as fit the time after which a cancel must take effect. @module */

/** Most steps of a batch. */
export const MAX_AHEAD = 32;

/** How long a batch may take where nobody has set its steps. */
export const MOST_MS = 50;

/** Most steps of a batch on this device: `option`, or for null what `Pace` may choose up to; 1 on a software adapter. */
export function aheadBound(option: number | null, software: boolean): number {
  return option ?? (software ? 1 : MAX_AHEAD);
}

/** Chooses the steps of the next batch from the time of those before. */
export class Pace {
  readonly #bound: number;
  readonly #fixed: boolean;
  #stepMs = Infinity;

  /** `fixed`: always `bound` steps. */
  constructor(bound: number, fixed: boolean) {
    this.#bound = bound;
    this.#fixed = fixed;
  }

  /** Most steps that a batch ever has. */
  get bound(): number {
    return this.#bound;
  }

  /** Steps of the next batch; 1 until a step was timed. */
  get steps(): number {
    if (this.#fixed) return this.#bound;
    return Math.max(1, Math.min(this.#bound, Math.floor(MOST_MS / this.#stepMs)));
  }

  /** Tells that `steps` decode steps took `ms` milliseconds. */
  took(ms: number, steps: number): void {
    this.#stepMs = ms / steps;
  }
}
