/** What the device reaches at most: reading bytes, and copying them. @module */
import type { Program } from "../../runtime/gpu/program.ts";
import { Pools } from "../../runtime/synth/pool.ts";
import type { Grid, KernelSpec } from "../../shaders/kernel_spec.ts";
import { Bench } from "./bench.ts";
import copy from "./copy.wgsl" with { type: "text" };
import read from "./read.wgsl" with { type: "text" };

/** Bytes that both run over: more than caches hold. */
const BYTES = 64 * 2 ** 20;
/** Threads and bytes of a workgroup, as in both kernels. */
const THREADS = 32;
const GROUP_BYTES = 2048 * 16;
const GROUPS = BYTES / GROUP_BYTES;
const SHAPE = { rows: 1, segments: 1, headRows: 1, maxContext: 1 };
const GRID = (): Grid => [GROUPS, 1, 1];

/** The two kernels, placed and verified. */
export class Ceilings {
  readonly #bench: Bench;
  readonly #read: Program;
  readonly #copy: Program;

  private constructor(bench: Bench, reading: Program, copying: Program) {
    this.#bench = bench;
    this.#read = reading;
    this.#copy = copying;
  }

  /** @throws {Error} if a kernel misses a byte. */
  static async open(bench: Bench): Promise<Ceilings> {
    const words = randomWords(BYTES / 4);
    const data = bench.keep(words);
    const sums = bench.keep(GROUPS * THREADS * 4);
    const copied = bench.keep(BYTES);
    const reading = bench.program();
    reading.add(spec("read", read, "sums"), { data, sums }, GRID);
    const copying = bench.program();
    copying.add(spec("copy", copy, "copied"), { data, copied }, GRID);
    const outputs = [[reading, sums, GROUPS * THREADS], [copying, copied, words.length]] as const;
    for (const [program, buffer, count] of outputs) {
      const found = await bench.floats(program, SHAPE, { buffer, count });
      expectSum(new Uint32Array(found.buffer, 0, count), words);
    }
    return new Ceilings(bench, reading, copying);
  }

  /** Bytes a second of the kernel that only reads, now: others may use the machine too. */
  async read(): Promise<number> {
    return BYTES / await this.#bench.seconds(this.#read, SHAPE);
  }

  /** Bytes a second of a plain copy, each byte counted once. */
  async copy(): Promise<number> {
    return BYTES / await this.#bench.seconds(this.#copy, SHAPE);
  }
}

/** Bytes a second of both kernels, measured now on a device of their own. */
export async function ceilingsNow(runs: number): Promise<{ read: number; copy: number }> {
  const bench = await Bench.open(runs);
  try {
    const ceilings = await Ceilings.open(bench);
    return { read: await ceilings.read(), copy: await ceilings.copy() };
  } finally {
    await bench.close();
  }
}

/** Words of valid e4m3 codes. */
export function randomWords(count: number): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(count);
  const bytes = new Uint8Array(words.buffer);
  const pool = new Pools(7, bytes.length).codes();
  for (let at = 0; at < bytes.length; at += pool.length) {
    bytes.set(pool.subarray(0, bytes.length - at), at);
  }
  return words;
}

function spec(name: string, source: string, output: string): KernelSpec {
  return { name, source, bindings: { data: "read", [output]: "read_write" }, constants: {} };
}

function expectSum(found: Uint32Array, words: Uint32Array): void {
  const sum = (list: Uint32Array) => list.reduce((total, word) => (total + word) >>> 0, 0);
  const [got, want] = [sum(found), sum(words)];
  if (got !== want) throw new Error(`Cannot time a ceiling: it sums to ${got}, wanted ${want}`);
}
