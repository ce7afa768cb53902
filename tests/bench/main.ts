/** `deno task bench`: verifies, then times the kernels and the models. @module */
import { parseArgs } from "node:util";
import { Bench } from "./bench.ts";
import { checkpoints, makeCheckpoint } from "./checkpoints.ts";
import { type KernelReport, runKernels } from "./kernels.ts";
import { type ModelResult, runModel } from "./models.ts";
import { ceilingLine, kernelLine, modelLines } from "./report.ts";

const HELP = `Verifies, then times; every number is the median of several runs.

  --dir DIR     folder for made snapshots, kept and used again: 7 GB (a folder in /tmp)
  --only PART   kernels or models (both)
  --model TEXT  only models whose name contains TEXT
  --runs N      runs of each measurement (3)
  --json        one JSON object on stdout instead of tables`;

interface Choice {
  readonly dir: string;
  readonly only: string | undefined;
  readonly model: string;
  readonly runs: number;
  readonly json: boolean;
}

function choice(args: readonly string[]): Choice {
  const text = { type: "string" } as const;
  const options = {
    dir: text,
    only: text,
    model: text,
    runs: text,
    json: { type: "boolean" },
  } as const;
  const { values } = parseArgs({ args: [...args], options, strict: true });
  const runs = Number(values.runs ?? 3);
  if (!Number.isInteger(runs) || runs < 1) {
    throw new RangeError(`Cannot read --runs: found "${values.runs}", wanted a whole number`);
  }
  const dir = values.dir ?? `${Deno.env.get("TMPDIR") ?? "/tmp"}/deltapage-bench`;
  const { only, model = "", json = false } = values;
  if (only !== undefined && only !== "kernels" && only !== "models") {
    throw new RangeError(`Cannot read --only: found "${only}", wanted kernels or models`);
  }
  return { dir, only, model, runs, json };
}

async function benchKernels(runs: number, log: (line: string) => void): Promise<KernelReport> {
  const bench = await Bench.open(runs);
  try {
    log(`adapter: ${bench.gpu.name}`);
    log("kernels on the shapes of 35B-A3B");
    const report = await runKernels(bench, (result) => log(kernelLine(result)));
    log(ceilingLine(report));
    return report;
  } finally {
    await bench.close();
  }
}

async function main({ dir, only, model, runs, json }: Choice): Promise<void> {
  // Tables are the output, unless that is the JSON.
  const log = json ? console.error : console.log;
  const kernels = only === "models" ? null : await benchKernels(runs, log);
  const models: ModelResult[] = [];
  if (only !== "kernels") {
    Deno.mkdirSync(dir, { recursive: true });
    for (const checkpoint of checkpoints(dir)) {
      if (!checkpoint.name.includes(model)) continue;
      makeCheckpoint(checkpoint, console.error);
      const result = await runModel(checkpoint, { runs, kernels, log: console.error });
      models.push(result);
      log(modelLines(result));
    }
  }
  if (json) console.log(JSON.stringify({ kernels, models }));
}

if (import.meta.main) {
  if (Deno.args.includes("--help")) console.log(HELP);
  else await main(choice(Deno.args));
}
