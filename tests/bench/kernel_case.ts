/** What a kernel's benchmark is, and running one: verify, then time. @module */
import type { Program } from "../../runtime/gpu/program.ts";
import type { StepShape } from "../../shaders/kernel_spec.ts";
import { relativeRms } from "../assert_close.ts";
import type { Bench } from "./bench.ts";
import type { Ceilings } from "./ceilings.ts";

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
  /** Multiplications and additions of one run; only for kernels that arithmetic limits. */
  readonly flops?: number;
  place(bench: Bench): PlacedCase;
}

/** One line of the result. */
export interface KernelResult {
  readonly name: string;
  readonly bytes: number;
  readonly seconds: number;
  readonly gigabytesPerSecond: number;
  /** Rate over that of the kernel that only reads, measured right after it. */
  readonly ofRead: number;
  readonly gigaflops?: number;
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
  const { program, copies = 1, shape, check } = kernel.place(bench);
  const output = await bench.floats(program, shape, { buffer: check.output, count: check.length });
  const error = relativeRms(check.indices.map((index) => output[index]!), check.want);
  if (!(error <= LARGEST_ERROR)) {
    throw new Error(
      `Cannot time "${kernel.name}": its output is off by ${error}, wanted at most ${LARGEST_ERROR}`,
    );
  }
  const seconds = await bench.seconds(program, shape) / copies;
  bench.clear();
  const rate = kernel.bytes / seconds;
  const readRate = await ceilings.read();
  return {
    name: kernel.name,
    bytes: kernel.bytes,
    seconds,
    gigabytesPerSecond: rate / 1e9,
    ofRead: rate / readRate,
    ...(kernel.flops === undefined ? {} : { gigaflops: kernel.flops / seconds / 1e9 }),
    error,
  };
}
