/** The snapshots that the benchmark runs: the demo model, and 35B-A3B cut to four layers. @module */
import { MEMBERS } from "../../runtime/synth/members.ts";
import { DEFAULT_LOCALITY, synthesize } from "../../runtime/synth/synthesize.ts";

/** A snapshot with a name for people. */
export interface Checkpoint {
  readonly name: string;
  /** Where it is, or will be after `makeCheckpoint()`. */
  readonly folder: string;
  /** Entries of the vocabulary of one that is made here; null for one that is there. */
  readonly vocab: number | null;
  /** Has the matrices of 35B-A3B: the kernels' rates on them say what it should take. */
  readonly realSizes: boolean;
}

const ROOT = `${import.meta.dirname}/../..`;
const DEMO = `${ROOT}/weights/demo`;
const STAND_IN = `${ROOT}/tests/golden/parity/real_heads_fp8`;
/** With a small vocabulary experts and mixers dominate, with a large one the head does. */
const VOCABULARIES = [640, 16_384];
const LAYERS = 4;

/** All of them; those with real sizes belong in `dir`, 3.4 GB each. */
export function checkpoints(dir: string): Checkpoint[] {
  const small = hasConfig(DEMO)
    ? { name: "demo", folder: DEMO }
    : { name: "golden real_heads_fp8 (no demo yet)", folder: STAND_IN };
  return [
    { ...small, vocab: null, realSizes: false },
    ...VOCABULARIES.map((vocab) => ({
      name: `35B-A3B, ${LAYERS} layers, vocabulary ${vocab}`,
      folder: `${dir}/35B-A3B-${LAYERS}-layers-vocab-${vocab}`,
      vocab,
      realSizes: true,
    })),
  ];
}

/** Those of which no earlier one has matrices of the same sizes; the others differ in their heads alone. */
export function firstOfKind(list: readonly Checkpoint[]): Checkpoint[] {
  return list.filter(({ realSizes }, i) =>
    list.findIndex((other) => other.realSizes === realSizes) === i
  );
}

/** Writes the snapshot unless it is there. */
export function makeCheckpoint({ folder, vocab }: Checkpoint, log: (line: string) => void): void {
  if (vocab === null || hasConfig(folder)) return;
  log(`making ${folder}`);
  try {
    Deno.removeSync(folder, { recursive: true }); // what an interrupted run left behind
  } catch { /* nothing, or what is made next says why it cannot be */ }
  synthesize({
    model: { member: MEMBERS["35B-A3B"], format: "fp8", layers: LAYERS, vocab },
    seed: 1,
    locality: DEFAULT_LOCALITY,
    folder,
    borrowFrom: DEMO,
  });
}

function hasConfig(folder: string): boolean {
  try {
    return Deno.statSync(`${folder}/config.json`).isFile;
  } catch {
    return false;
  }
}
