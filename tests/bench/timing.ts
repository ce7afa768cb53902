/** Repeating what is measured, and what repetitions come to. @module */
import { median } from "../../runtime/median.ts";

/** A figure, or why there is none. */
export type Measured = Figure | LeftOut;

/** The median of several runs. */
export interface Figure {
  /** The median. */
  readonly value: number;
  readonly runs: number;
}

/** Something that was not measured. */
export interface LeftOut {
  readonly leftOut: string;
}

/** Whether a measurement was made. */
export function isFigure(measured: Measured | undefined): measured is Figure {
  return measured !== undefined && "value" in measured;
}

/** How long measuring may take. */
export interface TimeLimits {
  /** Seconds that a single run may be expected to take, and after which none is repeated. */
  readonly patience: number;
  /** When all measuring should be over, on the clock of `performance`. */
  readonly until: number;
}

/** Why a run of so many seconds is not begun now; null where it may. */
export function reasonAgainst(
  { patience, until }: TimeLimits,
  expected: number,
): LeftOut | null {
  const about = `would take about ${expected.toFixed(0)} s`;
  if (expected > patience) return { leftOut: `${about}: --patience ${Math.ceil(expected)}` };
  const left = Math.max(0, (until - performance.now()) / 1000);
  if (expected <= left && left > 0) return null;
  return { leftOut: `${about}, ${left.toFixed(0)} s are left: raise --minutes` };
}

/**
 * The median of up to `runs` values of `once`; no further run is begun after `patience` seconds or at the end of all time, and
 * none at all where one is expected to take longer.
 */
export async function repeated(
  { runs, patience, until, expected = 0 }: TimeLimits & {
    readonly runs: number;
    /** Seconds that one run should take. */
    readonly expected?: number;
  },
  once: () => Promise<number>,
): Promise<Measured> {
  const obstacle = reasonAgainst({ patience, until }, expected);
  if (obstacle) return obstacle;
  const start = performance.now();
  const values: number[] = [];
  while (values.length < runs) {
    const now = performance.now();
    if (values.length > 0 && (now > until || now - start > patience * 1000)) break;
    values.push(await once());
  }
  return { value: median(values), runs: values.length };
}

/**
 * Tokens a second of all sequences together while all of them decode, from the times (ms) at which each got its
 * tokens. A step gives each a token, so those of the sequence that ends first count the steps.
 * @throws {RangeError} if fewer than two steps are left
 */
export function decodeRate(times: readonly (readonly number[])[]): number {
  const begin = Math.max(...times.map((own) => own[0]!));
  const first = times.reduce((least, own) => own.at(-1)! < least.at(-1)! ? own : least);
  const steps = first.filter((time) => time > begin);
  if (steps.length < 2) {
    throw new RangeError(`Cannot time decoding: found ${steps.length} common steps, wanted two`);
  }
  return times.length * (steps.length - 1) / (steps.at(-1)! - steps[0]!) * 1000;
}
