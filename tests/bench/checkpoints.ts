/** The snapshots that the benchmark runs: the demo model, and 35B-A3B cut to four layers. @module */
import { MEMBERS } from "../../runtime/synth/members.ts";
import { DEFAULT_LOCALITY, synthesize } from "../../runtime/synth/synthesize.ts";

/** A snapshot with a name for people. */
export interface Checkpoint {
  readonly name: string;
  readonly folder: string;
  /** Has the matrices of 35B-A3B: the kernels' rates on them say what it should take. */
  readonly realSizes: boolean;
}

const ROOT = `${import.meta.dirname}/../..`;
const DEMO = `${ROOT}/weights/demo`;
const STAND_IN = `${ROOT}/tests/golden/parity/real_heads_fp8`;
/** With a small vocabulary experts and mixers dominate, with a large one the head does. */
const VOCABULARIES = [640, 16_384];
const LAYERS = 4;

/** All of them; those with real sizes are made in `dir` unless they are there, 3.4 GB each. */
export function checkpoints(dir: string, log: (line: string) => void): Checkpoint[] {
  const demo = hasConfig(DEMO)
    ? { name: "demo", folder: DEMO, realSizes: false }
    : { name: "golden real_heads_fp8 (no demo yet)", folder: STAND_IN, realSizes: false };
  return [
    demo,
    ...VOCABULARIES.map((vocab) => {
      const folder = `${dir}/35B-A3B-${LAYERS}-layers-vocab-${vocab}`;
      if (!hasConfig(folder)) make(folder, vocab, log);
      return { name: `35B-A3B, ${LAYERS} layers, vocabulary ${vocab}`, folder, realSizes: true };
    }),
  ];
}

function make(folder: string, vocab: number, log: (line: string) => void): void {
  log(`making ${folder}`);
  // What an interrupted run left behind.
  Deno.mkdirSync(folder, { recursive: true });
  Deno.removeSync(folder, { recursive: true });
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
