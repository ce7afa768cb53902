/** Kernels that say what a device can do at most: read, compute, start the next kernel. @module */
import type { Grid, KernelSpec } from "../kernel_spec.ts";
import chain from "./chain.wgsl" with { type: "text" };
import multiply from "./multiply.wgsl" with { type: "text" };
import read from "./read.wgsl" with { type: "text" };

const THREADS = 64;
const READ_BYTES = 1024 * 16;
/** Workgroups in one dimension of a grid. */
const MOST_GROUPS = 32_768;
/** f32 chains of a thread, and steps of a chain in a round. */
const CHAINS = 12;
const STEPS = 4;

/** A kernel with its grid and what it leaves behind. */
export interface Probe {
  readonly spec: KernelSpec;
  readonly grid: Grid;
  /** Bytes of the buffer it writes. */
  readonly outputBytes: number;
}

/** Reads `bytes`, a multiple of 16 KiB, of "data" into "sums". @throws {RangeError} if it is not one */
export function readProbe(bytes: number): Probe {
  const groups = bytes / READ_BYTES;
  const rows = Math.ceil(groups / MOST_GROUPS);
  if (!Number.isInteger(groups / rows) || groups < 1) {
    throw new RangeError(`Cannot read ${bytes} bytes: wanted a multiple of ${READ_BYTES * rows}`);
  }
  return {
    spec: {
      name: "probe read",
      source: read,
      bindings: { data: "read", sums: "read_write" },
      constants: {},
    },
    grid: [groups / rows, rows, 1],
    outputBytes: groups * THREADS * 4,
  };
}

/** Computes in `groups` workgroups for so many rounds, into "ends". */
export function multiplyProbe(groups: number, rounds: number): Probe & { readonly flops: number } {
  return {
    spec: {
      name: "probe multiply",
      source: multiply,
      bindings: { ends: "read_write" },
      constants: { ROUNDS: rounds },
    },
    grid: [groups, 1, 1],
    outputBytes: groups * THREADS * 4,
    flops: 2 * groups * THREADS * CHAINS * STEPS * rounds,
  };
}

/** One link of a chain of dispatches over "words". */
export function chainProbe(): Probe {
  return {
    spec: {
      name: "probe chain",
      source: chain,
      bindings: { words: "read_write" },
      constants: {},
    },
    grid: [1, 1, 1],
    outputBytes: THREADS * 4,
  };
}
