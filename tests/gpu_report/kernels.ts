/** Which variant of the matrix kernels this device takes; every later part is pinned to it, or bits would differ. @module */
import { openGpu } from "../../runtime/gpu/device.ts";
import { openKernels } from "../../runtime/tune/kernels.ts";
import { productCut, tileOf } from "../../shaders/common/products.ts";
import type { Finding, Report } from "./finding.ts";
import type { ReportOptions } from "./options.ts";

/** Chooses as a server does that remembers nothing, or takes what was asked for, and tells. */
export async function reportKernels(report: Report, { kernels }: ReportOptions): Promise<void> {
  const gpu = await openGpu();
  const lines: string[] = [];
  const start = performance.now();
  const { variant } = await openKernels(
    gpu,
    { kernels, cacheDir: null },
    (line) => lines.push(line),
  );
  const seconds = (performance.now() - start) / 1000;
  const { lanes, outputs, reduce, decoder } = variant;
  const several = productCut(tileOf(4, { software: gpu.software, variant }), variant);
  report({
    section: "machine",
    name: "kernels",
    found: lines.join("; ").replace(/^kernels: /, ""),
    how:
      `${decoder} decoder, ${lanes} lanes a row, sums through ${reduce}, ${outputs} rows of W a ` +
      `thread, ${several.tile} rows of x at a time; chosen in ${
        seconds.toFixed(1)
      } s; all that follows is pinned to it`,
    data: { variant: variant.name },
  });
  gpu.device.destroy();
}

/** The variant that an earlier part chose; "auto" where none did. */
export function pinnedKernels(findings: readonly Finding[]): string {
  const found = findings.find(({ data }) => typeof data?.variant === "string");
  return found ? String(found.data!.variant) : "auto";
}
