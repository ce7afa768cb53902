/**
 * When two engines agree: the rule by which any implementation is held against the outside oracle. Two
 * correct engines may route a token differently where two experts are almost tied, so those positions are
 * counted and exempted; everything else has to match.
 * @module
 */
import type { ExpectedPrompt } from "./oracle_case.ts";

/** What an engine made of one prompt. */
export interface ParityResult {
  /** Natural-log probabilities of prompt tokens 1..n-1. */
  readonly logprobs: ArrayLike<number>;
  /** The greedy continuation, if it was asked for. */
  readonly greedy?: readonly number[];
}

/** How close is close; the defaults are those of the project. */
export interface ParityRule {
  /** Largest difference of a log-probability. */
  readonly tolerance?: number;
  /** Router gaps below this are near-ties: 1e-4, or 1e-3 where an f16 KV cache feeds the router. */
  readonly routerTie?: number;
  /** Largest exempted share of the positions of a case. */
  readonly exemptShare?: number;
  /** Greedy tokens must match where the reference's two best logits differ by more than this. */
  readonly greedyMargin?: number;
}

/** What a comparison found. */
export interface ParityReport {
  readonly positions: number;
  readonly exempt: number;
  /** Largest difference among the positions that count. */
  readonly worst: number;
  readonly greedyCompared: number;
  /** One line each; empty when the engines agree. */
  readonly problems: readonly string[];
}

/** The project's rule for the real engine, whose keys and values are f32 unless asked otherwise. */
export const ENGINE_RULE: Required<ParityRule> = {
  tolerance: 0.01,
  routerTie: 1e-4,
  exemptShare: 0.02,
  greedyMargin: 0.02,
};

/** Compares an engine's results with the reference's, prompt by prompt in the same order. */
export function compareParity(
  expected: readonly ExpectedPrompt[],
  got: readonly ParityResult[],
  rule: ParityRule = {},
): ParityReport {
  const limits = { ...ENGINE_RULE, ...rule };
  const tally = new Tally();
  expected.forEach((prompt, index) => {
    const result = got[index];
    if (result === undefined) return tally.fail(`prompt ${index}: no result`);
    compareScores(tally, prompt, result.logprobs, limits);
    if (result.greedy !== undefined) compareGreedy(tally, prompt, result.greedy, limits);
  });
  const allowed = Math.floor(limits.exemptShare * tally.positions);
  if (tally.exempt > allowed) {
    tally.fail(`${tally.exempt} of ${tally.positions} positions are near-ties, at most ${allowed}`);
  }
  return tally.report();
}

/** Throws one error with every problem unless the report is clean. */
export function assertParity(report: ParityReport): void {
  if (report.problems.length === 0) return;
  const shown = report.problems.slice(0, 12);
  const more = report.problems.length - shown.length;
  throw new Error(
    `Parity is broken:\n  ${shown.join("\n  ")}${more > 0 ? `\n  and ${more} more` : ""}`,
  );
}

/** The score of token i + 1 is made at position i, so it is that position's routing that counts. */
function compareScores(
  tally: Tally,
  prompt: ExpectedPrompt,
  logprobs: ArrayLike<number>,
  limits: Required<ParityRule>,
): void {
  const length = prompt.tokens.length;
  if (logprobs.length !== length - 1) {
    return tally.fail(`prompt of ${length}: ${logprobs.length} scores, expected ${length - 1}`);
  }
  for (let position = 0; position < length - 1; position++) {
    tally.positions++;
    if ((prompt.routerMargins[position] ?? 0) < limits.routerTie) {
      tally.exempt++;
      continue;
    }
    const want = prompt.logprobs[position] ?? NaN;
    const found = logprobs[position] ?? NaN;
    const difference = Math.abs(found - want);
    if (difference > tally.worst) tally.worst = difference;
    if (difference <= limits.tolerance) continue; // NaN fails
    tally.fail(`prompt of ${length}, token ${position + 1}: ${found}, expected ${want}`);
  }
}

/** Once a continuation may have parted at a near-tie, what follows it cannot be compared. */
function compareGreedy(
  tally: Tally,
  prompt: ExpectedPrompt,
  got: readonly number[],
  limits: Required<ParityRule>,
): void {
  const { tokens, margins, routerMargins } = prompt.greedy;
  let router = prompt.routerMargins.at(-1) ?? 0;
  for (const [step, want] of tokens.entries()) {
    if (got[step] !== want) {
      const tied = (margins[step] ?? 0) <= limits.greedyMargin || router < limits.routerTie;
      if (!tied) {
        tally.fail(
          `prompt of ${prompt.tokens.length}, greedy token ${step}: ${got[step]}, expected ${want}`,
        );
      }
      return;
    }
    tally.greedyCompared++;
    router = routerMargins[step] ?? 0;
  }
}

class Tally {
  positions = 0;
  exempt = 0;
  worst = 0;
  greedyCompared = 0;
  readonly #problems: string[] = [];

  fail(problem: string): void {
    this.#problems.push(problem);
  }

  report(): ParityReport {
    const { positions, exempt, worst, greedyCompared } = this;
    return { positions, exempt, worst, greedyCompared, problems: this.#problems };
  }
}
