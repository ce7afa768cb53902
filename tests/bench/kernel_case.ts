/** What a kernel's benchmark is, and running one: verify, then time. @module */
import type { Program } from "../../runtime/gpu/program.ts";
import type { StepShape } from "../../shaders/kernel_spec.ts";
import { relativeRms } from "../assert_close.ts";
import type { Bench } from "./bench.ts";
import type { Ceilings } from "./ceilings.ts";

/** What bounds a kernel: moving bytes, or arithmetic. */
export type Limit = "bytes" | "flops";

/** A kernel on one shape, ready to run. */
export interface PlacedCase {
  /** Runs the kernel `copies` times, each time on other data, so that no cache holds them all. */
  readonly program: Program;
  /** 1 unless said. */
  readonly copies?: number;
  readonly shape: StepShape;
  /** The output buffer and what a CPU makes of some of its elements, by index. */
  readonly check: {
    readonly output: GPUBuffer;
    readonly length: number;
    readonly indices: readonly number[];
    readonly want: ArrayLike<number>;
  };
}

/** A kernel on one shape. */
export interface KernelCase {
  readonly name: string;
  /** Bytes that one run must move. */
  readonly bytes: number;
  /** Multiplications and additions of one run. */
  readonly flops: number;
  /** What its rate is told in. */
  readonly limit: Limit;
  place(bench: Bench): PlacedCase;
}

/** One line of the result. */
export interface KernelResult {
  readonly name: string;
  readonly limit: Limit;
  readonly bytes: number;
  readonly flops: number;
  readonly seconds: number;
  /** Bytes or operations a second of the kernel that only reads, or only multiplies and adds, right after it. */
  readonly ceiling: number;
  /** Its rate over that. */
  readonly ofCeiling: number;
  /** Relative RMS against the CPU. */
  readonly error: number;
}

/** f32 sums, f16 keys and values. */
const LARGEST_ERROR = 1e-3;

/**
 * Verifies, then times.
 * @throws {Error} if the output is not what the CPU computes
 */
export async function runKernelCase(
  bench: Bench,
  kernel: KernelCase,
  ceilings: Ceilings,
): Promise<KernelResult> {
  const { name, bytes, flops, limit } = kernel;
  const placed = kernel.place(bench);
  const error = await verifyCase(bench, name, placed);
  const { program, copies = 1, shape } = placed;
  const seconds = await bench.seconds(program, shape) / copies;
  bench.clear();
  const ceiling = limit === "bytes" ? await ceilings.read() : await ceilings.multiply();
  const rate = (limit === "bytes" ? bytes : flops) / seconds;
  return { name, limit, bytes, flops, seconds, ceiling, ofCeiling: rate / ceiling, error };
}

/**
 * Runs a case once; returns the relative RMS of its output against the CPU.
 * @throws {Error} if that is too large
 */
export async function verifyCase(
  bench: Bench,
  name: string,
  { program, shape, check }: PlacedCase,
): Promise<number> {
  const output = await bench.floats(program, shape, { buffer: check.output, count: check.length });
  const error = relativeRms(check.indices.map((index) => output[index]!), check.want);
  if (error <= LARGEST_ERROR) return error;
  throw new Error(
    `Cannot time "${name}": its output is off by ${error}, wanted at most ${LARGEST_ERROR}`,
  );
}
