/** The kernels' part of the benchmark: every kernel that weighs, on the shapes of 35B-A3B. @module */
import type { Bench } from "./bench.ts";
import { Ceilings } from "./ceilings.ts";
import { expertsCase } from "./expert_cases.ts";
import { type KernelCase, type KernelResult, runKernelCase } from "./kernel_case.ts";
import { matmulCase, type MatrixShape } from "./matrix_cases.ts";
import { attentionDecodeCase, attentionPrefillCase, deltaStepCase } from "./state_cases.ts";

/** The matrices of a decode step of 35B-A3B. */
export const MATRICES = {
  qkvz: { name: "delta in", format: "fp8", n: 12_288, k: 2048 },
  ba: { name: "delta b, a", format: "bf16", n: 64, k: 2048 },
  deltaOut: { name: "delta out", format: "fp8", n: 2048, k: 4096 },
  qkv: { name: "attention in", format: "fp8", n: 9216, k: 2048 },
  attentionOut: { name: "attention out", format: "fp8", n: 2048, k: 4096 },
  router: { name: "router", format: "bf16", n: 257, k: 2048 },
  head: { name: "head", format: "bf16", n: 16_384, k: 2048 },
  wide: { name: "64 MB", format: "fp8", n: 32_768, k: 2048 },
} as const satisfies Record<string, MatrixShape>;

const EXPERTS = { hidden: 2048, dff: 512, topK: 8, experts: 39 };
const DELTA = { keyHeads: 16, valueHeads: 32, keyDim: 128, valueDim: 128 };
const HEADS = { heads: 16, kvHeads: 2, headDim: 256 };

/** What the kernels' part found. */
export interface KernelReport {
  /** Bytes a second. */
  readonly read: number;
  readonly copy: number;
  readonly kernels: readonly KernelResult[];
  /** Seconds of the experts of one row and layer, the shared one among them, and of each matrix for one row. */
  readonly alone: Readonly<Record<keyof typeof MATRICES | "experts", number>>;
}

/** Runs every case; `line` is told each result as it comes. */
export async function runKernels(
  bench: Bench,
  line: (result: KernelResult) => void,
): Promise<KernelReport> {
  const ceilings = await Ceilings.open(bench);
  const [read, copy] = [await ceilings.read(), await ceilings.copy()];
  const kernels: KernelResult[] = [];
  const run = async (kernel: KernelCase) => {
    const result = await runKernelCase(bench, kernel, ceilings);
    kernels.push(result);
    line(result);
    return result.seconds;
  };
  const alone: Record<string, number> = {};
  for (const [key, matrix] of Object.entries(MATRICES)) {
    alone[key] = await run(matmulCase(matrix, 1));
  }
  alone.experts = await run(expertsCase(EXPERTS, 1));
  for (const kernel of furtherCases()) await run(kernel);
  return { read, copy, kernels, alone: alone as KernelReport["alone"] };
}

function furtherCases(): KernelCase[] {
  return [
    matmulCase(MATRICES.qkvz, 8),
    matmulCase(MATRICES.qkvz, 64),
    matmulCase(MATRICES.head, 8),
    expertsCase(EXPERTS, 8),
    expertsCase(EXPERTS, 64),
    deltaStepCase(DELTA, 1),
    deltaStepCase(DELTA, 8),
    attentionDecodeCase(HEADS, 1024),
    attentionDecodeCase(HEADS, 4096),
    attentionPrefillCase(HEADS, 64, 512),
  ];
}
