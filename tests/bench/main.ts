/** `deno task bench`: verifies, then times the kernels, the models, paging and the server's start. @module */
import { exitCode } from "../../runtime/command_line.ts";
import { AloneKernels } from "./alone.ts";
import { Bench } from "./bench.ts";
import { type Checkpoint, checkpoints, firstOfKind, makeCheckpoint } from "./checkpoints.ts";
import { type KernelReport, runKernels } from "./kernels.ts";
import { type ModelResult, runModel } from "./models.ts";
import { BENCH_HELP, type BenchOptions, parseBenchOptions, type Part } from "./options.ts";
import { type PagingResult, runPaging } from "./paging.ts";
import { ceilingLine, kernelLine, modelLines, pagingLines, startLine } from "./report.ts";
import { rooflineSvg } from "./roofline.ts";
import { type Start, type StartResult, timeColdStarts, timeStarts } from "./startup.ts";
import { targetLines, targets } from "./targets.ts";

const MODEL_PARTS: readonly Part[] = ["decode", "context", "prefill", "batch"];

/** Everything that was measured. */
export interface BenchReport {
  readonly adapter: string;
  readonly kernels: KernelReport | null;
  readonly models: readonly ModelResult[];
  readonly paging: readonly PagingResult[];
  readonly starts: readonly StartResult[];
}

async function main(args: readonly string[]): Promise<void> {
  if (args.includes("--help")) return console.log(BENCH_HELP);
  const options = parseBenchOptions(args);
  const { parts, json, svg } = options;
  const { adapter, software, maxBinding, kernels } = await benchKernels(options);
  const list = checkpoints(options.dir).filter(({ name }) => name.includes(options.model));
  const models = MODEL_PARTS.some((part) => parts.has(part))
    ? await benchModels(list, options, software)
    : [];
  const paging = parts.has("paging") ? await benchPaging(list, options, maxBinding) : [];
  const starts = parts.has("start") ? await benchStarts(options) : [];
  const report: BenchReport = { adapter, kernels, models, paging, starts };
  console.log(targetLines(targets(report)));
  if (svg !== null && kernels) {
    const title = "Kernels on the shapes of 35B-A3B under the roofline";
    const subtitle = `${adapter}; ${options.runs} runs of each`;
    Deno.writeTextFileSync(svg, rooflineSvg(kernels, { title, subtitle }));
  }
  if (json !== null) Deno.writeTextFileSync(json, JSON.stringify(report, null, 2) + "\n");
}

/** Opens the device, and times the kernels if wanted. */
async function benchKernels({ parts, runs }: BenchOptions) {
  const bench = await Bench.open(runs);
  try {
    const { name: adapter, software, maxBinding } = bench.gpu;
    const device = { adapter, software, maxBinding };
    console.log(`adapter: ${adapter}`);
    if (!parts.has("kernels")) return { ...device, kernels: null };
    console.log("kernels on the shapes of 35B-A3B");
    const kernels = await runKernels(bench, (result) => console.log(kernelLine(result)));
    console.log(ceilingLine(kernels));
    return { ...device, kernels };
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
  const alone = await AloneKernels.open(list.some(({ realSizes }) => realSizes));
  // What a larger head changes shows where one token is decoded.
  const whole = firstOfKind(list);
  try {
    for (const checkpoint of list) {
      if (isOver(options, checkpoint.name)) continue;
      makeCheckpoint(checkpoint, console.error);
      const parts = whole.includes(checkpoint) ? options.parts : new Set(["decode"] as const);
      const result = await runModel(checkpoint, {
        options: { ...options, parts },
        alone,
        software,
        log: console.error,
      });
      results.push(result);
      console.log(modelLines(result));
    }
  } finally {
    await alone.close();
  }
  return results;
}

async function benchPaging(
  list: readonly Checkpoint[],
  options: BenchOptions,
  maxBinding: number,
): Promise<PagingResult[]> {
  const { budgets, runs } = options;
  const results: PagingResult[] = [];
  for (const checkpoint of firstOfKind(list)) {
    if (isOver(options, `paging of ${checkpoint.name}`)) continue;
    makeCheckpoint(checkpoint, console.error);
    const result = await runPaging(checkpoint, { budgets, runs, maxBinding });
    results.push(result);
    console.log(pagingLines(result));
  }
  return results;
}

async function benchStarts(options: BenchOptions): Promise<StartResult[]> {
  const { runs, startModel } = options;
  const starts: Start[] = [{ name: "demo", args: [] }];
  if (startModel !== null) starts.push({ name: startModel, args: ["--model", startModel] });
  const results: StartResult[] = [];
  console.log("start of ./deploy/run serve");
  for (const start of starts) {
    if (isOver(options, `start with ${start.name}`)) continue;
    const warm = await timeStarts(start, runs);
    console.log(startLine(warm));
    results.push(warm);
    const cold = await timeColdStarts(start, runs);
    if (typeof cold === "string") console.log(`  cold page cache left out: ${cold}`);
    else {
      console.log(startLine(cold));
      results.push(cold);
    }
  }
  return results;
}

/** Whether the time is up; then says that `what` is left out. */
function isOver({ until }: BenchOptions, what: string): boolean {
  const isOver = performance.now() > until;
  if (isOver) console.log(`${what} left out: the time is up, raise --minutes`);
  return isOver;
}

if (import.meta.main) Deno.exit(await exitCode(() => main(Deno.args)));
