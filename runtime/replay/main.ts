/** `deno task replay`: hit-rate curves of routing traces, and the recording of such traces. @module */
import { readReason } from "../../weights/mod.ts";
import { formatTrace, parseTrace, type RoutingTrace } from "../experts/trace.ts";
import { TextModel } from "../mod.ts";
import { readSnapshotConfig } from "../snapshot.ts";
import { exitCode, OptionError } from "../command_line.ts";
import { type Curves, curvesTable, hitRateCurves } from "./curves.ts";
import {
  type CurvesRequest,
  parseReplayOptions,
  type RecordingRequest,
  REPLAY_HELP,
} from "./options.ts";
import { recordTrace } from "./record.ts";
import { syntheticTrace } from "./synthetic.ts";

const DEMO = `${import.meta.dirname}/../../weights/demo`;

/** Runs the command; returns its exit code. */
async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--help")) {
    console.log(REPLAY_HELP);
    return 0;
  }
  const request = parseReplayOptions(args, DEMO);
  if (request.command === "record") await record(request);
  else await draw(request);
  return 0;
}

async function draw(request: CurvesRequest): Promise<void> {
  const traces: RoutingTrace[] = request.files.map(readTrace);
  if (request.synthetic) traces.push(syntheticTrace(request.synthetic));
  const all: Curves[] = [];
  for (const trace of traces) all.push(await hitRateCurves(trace, request));
  console.log(request.json ? JSON.stringify(all, null, 2) : all.map(curvesTable).join("\n\n"));
}

async function record(request: RecordingRequest): Promise<void> {
  const { engine: options, maxTokens, seed, promptFile, out } = request;
  readSnapshotConfig(options.model);
  const prompts = await readPrompts(promptFile, options.model);
  const trace = await recordTrace({ options, prompts, maxTokens, seed });
  Deno.writeTextFileSync(out, formatTrace(trace));
  const rows = trace.steps.reduce((sum, step) => sum + step.rows, 0);
  console.error(`${out}: ${trace.steps.length} steps, ${rows} rows`);
}

function readTrace(file: string): RoutingTrace {
  const text = readFile("trace", file);
  try {
    return parseTrace(text);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new OptionError(error.message.replace("the routing trace", `--trace "${file}"`));
  }
}

/** Token ids of each line; texts need the snapshot's tokenizer. */
async function readPrompts(file: string, model: string): Promise<readonly (readonly number[])[]> {
  const lines = readFile("prompts", file).split("\n").filter((line) => line.trim() !== "");
  const refuse = (index: number) =>
    new OptionError(
      `Cannot read --prompts "${file}": line ${index + 1} is neither an array of ids nor a string`,
    );
  const prompts: unknown[] = lines.map((line, index) => {
    try {
      return JSON.parse(line);
    } catch {
      throw refuse(index);
    }
  });
  const text = prompts.some((prompt) => typeof prompt === "string")
    ? await TextModel.load(model)
    : null;
  return prompts.map((prompt, index) => {
    if (typeof prompt === "string") return text!.tokenizer.encode(prompt, { special: true });
    if (Array.isArray(prompt) && prompt.every(Number.isInteger)) return prompt as number[];
    throw refuse(index);
  });
}

function readFile(flag: string, file: string): string {
  try {
    return Deno.readTextFileSync(file);
  } catch (error) {
    throw new OptionError(`Cannot read --${flag} "${file}": ${readReason(error)}`);
  }
}

if (import.meta.main) Deno.exit(await exitCode(() => main(Deno.args), { also: [RangeError] }));
