/** The benchmark's tables. @module */
import type { KernelResult } from "./kernel_case.ts";
import type { KernelReport } from "./kernels.ts";
import { BATCH, type ModelResult, PROMPT } from "./models.ts";

/** One kernel's line. */
export function kernelLine(result: KernelResult): string {
  const { name, seconds, gigabytesPerSecond, ofRead, gigaflops } = result;
  const rate = gigaflops === undefined
    ? `${digits(gigabytesPerSecond)} GB/s, ${percent(ofRead)} of read`
    : `${digits(gigaflops)} GFLOP/s`;
  return `  ${name.padEnd(54)}${digits(seconds * 1000).padStart(8)} ms  ${rate}`;
}

/** What the device reaches at most. */
export function ceilingLine({ read, copy }: Pick<KernelReport, "read" | "copy">): string {
  return `  read ${digits(read / 1e9)} GB/s, copy ${digits(copy / 1e9)} GB/s`;
}

/** One model's lines. */
export function modelLines(result: ModelResult): string {
  const ratios = [
    `${percent(result.ofCopy)} of copy`,
    `${percent(result.ofRead)} of read`,
    ...(result.ofKernels === undefined ? [] : [`kernels alone ${percent(result.ofKernels)}`]),
  ];
  const weights = `${digits(result.gigabytesPerSecond)} GB/s of weights`;
  return [
    `${result.name} (log-probabilities within ${result.error.toExponential(1)})`,
    `  decode  ${digits(result.decodeTokensPerSecond)} tokens/s, ` +
    `${digits(result.batchTokensPerSecond)} with ${BATCH} sequences`,
    `  prefill ${digits(result.prefillTokensPerSecond)} tokens/s of ${PROMPT}`,
    `  ${[weights, ...ratios].join(", ")}`,
    `  ${result.dispatchesPerToken} dispatches a token, ` +
    `${digits(result.weightBytesPerToken / 1e6)} MB of weights a token`,
  ].join("\n");
}

/** Three digits that count. */
function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}
