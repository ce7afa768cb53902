/** Two engines in turn, and what their rates come to. @module */
import { median } from "../../../runtime/median.ts";

/** Medians of a pair. */
export interface PairResult {
  readonly work: string;
  readonly peer: string;
  /** Tokens a second. */
  readonly ours: number;
  readonly theirs: number;
  /** Median of the rounds' own ratios: what disturbs a round disturbs both. */
  readonly ratio: number;
  readonly rounds: number;
}

/** Collects rounds. */
export class Pairing {
  readonly #pairs = new Map<string, [ours: number, theirs: number][]>();

  /** Adds what one round found. */
  add(peer: string, work: string, rates: readonly [ours: number, theirs: number]): void {
    const key = JSON.stringify([peer, work]);
    const rounds = this.#pairs.get(key) ?? [];
    rounds.push([...rates]);
    this.#pairs.set(key, rounds);
  }

  /** Medians, in the order in which pairs came first. */
  results(): PairResult[] {
    return Array.from(this.#pairs, ([key, rounds]) => {
      const [peer, work] = JSON.parse(key) as [string, string];
      return {
        work,
        peer,
        ours: median(rounds.map(([ours]) => ours)),
        theirs: median(rounds.map(([, theirs]) => theirs)),
        ratio: median(rounds.map(([ours, theirs]) => ours / theirs)),
        rounds: rounds.length,
      };
    });
  }
}

/** The results as a table. */
export function pairTable(results: readonly PairResult[]): string {
  const rows = results.map(({ work, peer, ours, theirs, ratio, rounds }) => [
    work,
    peer,
    ours.toPrecision(3),
    theirs.toPrecision(3),
    `${ratio.toPrecision(3)}x`,
    String(rounds),
  ]);
  const all = [["tokens/s", "against", "ours", "theirs", "ratio", "rounds"], ...rows];
  const widths = all[0]!.map((_, column) => Math.max(...all.map((row) => row[column]!.length)));
  return all.map((row) =>
    row.map((cell, column) =>
      column < 2 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
    )
      .join("  ")
  ).join("\n");
}
