/** `deno task bench`: verifies, then times the kernels, the models, paging and the server's start. @module */
import { OptionError } from "../../runtime/options.ts";
import { AloneKernels } from "./alone.ts";
import { Bench } from "./bench.ts";
import { type Checkpoint, checkpoints, makeCheckpoint } from "./checkpoints.ts";
import { type KernelReport, runKernels } from "./kernels.ts";
import { type ModelResult, runModel } from "./models.ts";
import { BENCH_HELP, type BenchOptions, parseBenchOptions, type Part } from "./options.ts";
import { ceilingLine, kernelLine, modelLines } from "./report.ts";

const MODEL_PARTS: readonly Part[] = ["decode", "context", "prefill", "batch"];

/** Everything that was measured. */
export interface BenchReport {
  readonly adapter: string;
  readonly kernels: KernelReport | null;
  readonly models: readonly ModelResult[];
}

async function main(options: BenchOptions): Promise<void> {
  const { parts, json } = options;
  const { adapter, software, kernels } = await benchKernels(options);
  const list = checkpoints(options.dir).filter(({ name }) => name.includes(options.model));
  const models = MODEL_PARTS.some((part) => parts.has(part))
    ? await benchModels(list, options, software)
    : [];
  const report: BenchReport = { adapter, kernels, models };
  if (json !== null) Deno.writeTextFileSync(json, JSON.stringify(report, null, 2) + "\n");
}

/** Opens the device, and times the kernels if wanted. */
async function benchKernels({ parts, runs }: BenchOptions) {
  const bench = await Bench.open(runs);
  try {
    const { name: adapter, software } = bench.gpu;
    console.log(`adapter: ${adapter}`);
    if (!parts.has("kernels")) return { adapter, software, kernels: null };
    console.log("kernels on the shapes of 35B-A3B");
    const kernels = await runKernels(bench, (result) => console.log(kernelLine(result)));
    console.log(ceilingLine(kernels));
    return { adapter, software, kernels };
  } finally {
    await bench.close();
  }
}

async function benchModels(
  list: readonly Checkpoint[],
  options: BenchOptions,
  software: boolean,
): Promise<ModelResult[]> {
  const results: ModelResult[] = [];
  const alone = await AloneKernels.open();
  try {
    for (const checkpoint of list) {
      makeCheckpoint(checkpoint, console.error);
      const result = await runModel(checkpoint, { options, alone, software, log: console.error });
      results.push(result);
      console.log(modelLines(result));
    }
  } finally {
    await alone.close();
  }
  return results;
}

if (import.meta.main) {
  try {
    if (Deno.args.includes("--help")) console.log(BENCH_HELP);
    else await main(parseBenchOptions(Deno.args));
  } catch (error) {
    if (!(error instanceof OptionError)) throw error;
    console.error(error.message);
    Deno.exit(2);
  }
}
