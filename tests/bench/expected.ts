/** What the plain loops make of a snapshot: computed once, then kept in the cached snapshot's folder. @module */
import { naiveLogprobs } from "../../runtime/model/naive.ts";
import { NaiveWeights } from "../../runtime/model/naive_weights.ts";
import { openCheckedSnapshot, readSnapshotConfig } from "../../runtime/snapshot.ts";
import { integers } from "../pattern.ts";
import type { Checkpoint } from "./checkpoints.ts";

/** A prompt and the log-probabilities of its tokens but the first. */
export interface Expected {
  readonly tokens: readonly number[];
  readonly logprobs: readonly number[];
}

/** Tokens of the prompt: each costs the plain loops seconds where sizes are real. */
const TOKENS = { real: 3, small: 8 };

/** The expectation for `checkpoint`. */
export function expectedOf(
  { folder, vocab, realSizes }: Checkpoint,
  log: (line: string) => void,
): Expected {
  // Nothing is written to a snapshot that was not made here.
  const file = vocab === null ? null : `${folder}/expected.json`;
  const kept = file === null ? null : read(file);
  if (kept) return kept;
  log(`computing what ${folder} should say, in plain loops`);
  const { config } = readSnapshotConfig(folder);
  const snapshot = openCheckedSnapshot(folder, config);
  try {
    const tokens = [...integers(realSizes ? TOKENS.real : TOKENS.small, config.vocab, 11)];
    const logprobs = [...naiveLogprobs({ config, weights: new NaiveWeights(snapshot) }, tokens)];
    if (file !== null) Deno.writeTextFileSync(file, JSON.stringify({ tokens, logprobs }));
    return { tokens, logprobs };
  } finally {
    snapshot.close();
  }
}

function read(file: string): Expected | null {
  try {
    return JSON.parse(Deno.readTextFileSync(file)) as Expected;
  } catch {
    return null;
  }
}
