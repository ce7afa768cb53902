/** What the device reaches at most: reading bytes, copying them, and multiplying and adding. @module */
import type { Program } from "../../runtime/gpu/program.ts";
import { Pools } from "../../runtime/synth/pool.ts";
import type { Grid, KernelSpec } from "../../shaders/kernel_spec.ts";
import { naiveMultiply } from "../../shaders/probe/naive.ts";
import { multiplyProbe } from "../../shaders/probe/probe.ts";
import type { Bench } from "./bench.ts";
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
/** The third: its workgroups, and their rounds. */
const MULTIPLY_ROUNDS = 64;
const MULTIPLY = multiplyProbe(512, MULTIPLY_ROUNDS);

/** The kernels, placed and verified. */
export class Ceilings {
  readonly #bench: Bench;
  readonly #read: Program;
  readonly #copy: Program;
  readonly #multiply: Program;

  private constructor(
    bench: Bench,
    programs: Readonly<Record<"read" | "copy" | "multiply", Program>>,
  ) {
    this.#bench = bench;
    this.#read = programs.read;
    this.#copy = programs.copy;
    this.#multiply = programs.multiply;
  }

  /** @throws {Error} if a kernel misses a byte, or a product. */
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
    return new Ceilings(bench, {
      read: reading,
      copy: copying,
      multiply: await placeMultiply(bench),
    });
  }

  /** Bytes a second of the kernel that only reads, now: others may use the machine too. */
  async read(): Promise<number> {
    return BYTES / await this.#bench.seconds(this.#read, SHAPE);
  }

  /** Bytes a second of a plain copy, each byte counted once. */
  async copy(): Promise<number> {
    return BYTES / await this.#bench.seconds(this.#copy, SHAPE);
  }

  /** Multiplications and additions a second of a kernel that does nothing else, in registers. */
  async multiply(): Promise<number> {
    return MULTIPLY.flops / await this.#bench.seconds(this.#multiply, SHAPE);
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

async function placeMultiply(bench: Bench): Promise<Program> {
  const count = MULTIPLY.outputBytes / 4;
  const ends = bench.keep(MULTIPLY.outputBytes);
  const program = bench.program();
  program.add(MULTIPLY.spec, { ends }, () => MULTIPLY.grid);
  const found = await bench.floats(program, SHAPE, { buffer: ends, count });
  const wanted = naiveMultiply(0, MULTIPLY_ROUNDS);
  if (Math.abs(found[0]! - wanted) < 1e-3) return program;
  throw new Error(`Cannot time a ceiling: products sum to ${found[0]}, wanted ${wanted}`);
}

function spec(name: string, source: string, output: string): KernelSpec {
  return { name, source, bindings: { data: "read", [output]: "read_write" }, constants: {} };
}

function expectSum(found: Uint32Array, words: Uint32Array): void {
  const sum = (list: Uint32Array) => list.reduce((total, word) => (total + word) >>> 0, 0);
  const [got, want] = [sum(found), sum(words)];
  if (got !== want) throw new Error(`Cannot time a ceiling: it sums to ${got}, wanted ${want}`);
}
