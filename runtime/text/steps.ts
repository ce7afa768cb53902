/** Long computations in small steps. @module */

/** A computation that pauses after every step: between them others may run, or it may be given up. */
export type Steps<Result> = Generator<undefined, Result, undefined>;

/** Takes all steps without a pause. */
export function finish<Result>(steps: Steps<Result>): Result {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}
