/** The kernels' part of the benchmark: every kernel that weighs, on the shapes of 35B-A3B. @module */
import type { Bench } from "./bench.ts";
import { Ceilings } from "./ceilings.ts";
import { expertsCase } from "./expert_cases.ts";
import { type KernelCase, type KernelResult, type Limit, runKernelCase } from "./kernel_case.ts";
import { matmulCase, type MatrixShape } from "./matrix_cases.ts";
import { median } from "../../runtime/median.ts";
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

/** The experts of one of its layers, fewer than there are: as many as fit a binding. */
export const EXPERTS = { hidden: 2048, dff: 512, topK: 8, experts: 39 };
/** As many as there are. */
export const ALL_EXPERTS = 256;
const DELTA = { keyHeads: 16, valueHeads: 32, keyDim: 128, valueDim: 128 };
const HEADS = { heads: 16, kvHeads: 2, headDim: 256 };

/** What the kernels' part found. */
export interface KernelReport {
  /** Bytes a second; as the next two a median over the whole run. */
  readonly read: number;
  readonly copy: number;
  /** Multiplications and additions a second. */
  readonly fma: number;
  readonly kernels: readonly KernelResult[];
  /** Rate of the kernel on a matrix of 64 MB over that of the kernel that only reads. */
  readonly wideOfRead: number;
}

/** Runs every case; `line` is told each result as it comes. */
export async function runKernels(
  bench: Bench,
  line: (result: KernelResult) => void,
): Promise<KernelReport> {
  const ceilings = await Ceilings.open(bench);
  const copies = [await ceilings.copy()];
  const kernels: KernelResult[] = [];
  let wideOfRead = NaN;
  for (const kernel of cases()) {
    const result = await runKernelCase(bench, kernel, ceilings);
    kernels.push(result);
    line(result);
    if (kernel.name.startsWith(MATRICES.wide.name)) wideOfRead = result.ofCeiling;
  }
  copies.push(await ceilings.copy());
  const ceiling = (limit: Limit) =>
    median(kernels.filter((kernel) => kernel.limit === limit).map((kernel) => kernel.ceiling));
  return {
    read: ceiling("bytes"),
    copy: median(copies),
    fma: ceiling("flops"),
    kernels,
    wideOfRead,
  };
}

function cases(): KernelCase[] {
  return [
    ...Object.values(MATRICES).map((matrix) => matmulCase(matrix, 1)),
    expertsCase(EXPERTS, 1),
    matmulCase(MATRICES.qkvz, 8),
    matmulCase(MATRICES.head, 8),
    expertsCase(EXPERTS, 8),
    deltaStepCase(DELTA, 1),
    deltaStepCase(DELTA, 8),
    attentionDecodeCase(HEADS, 1024),
    attentionDecodeCase(HEADS, 4096),
    matmulCase(MATRICES.qkvz, 64),
    matmulCase(MATRICES.qkvz, 512),
    expertsCase(EXPERTS, 64),
    expertsCase(EXPERTS, 512),
    attentionPrefillCase(HEADS, 64, 512),
  ];
}
