/** `deno task synth`: writes a snapshot with random weights, with a progress bar. @module */
import { exitCode } from "../command_line.ts";
import { parseSynthOptions, SYNTH_HELP } from "./options.ts";
import { progressBar } from "./progress.ts";
import { synthesize } from "./synthesize.ts";

const DEMO = `${import.meta.dirname}/../../weights/demo`;

/** Runs the command; returns its exit code. */
function main(args: readonly string[]): number {
  if (args.includes("--help")) {
    console.log(SYNTH_HELP);
    return 0;
  }
  const request = parseSynthOptions(args, DEMO);
  const { tensors, byteLength } = synthesize(request, progressBar());
  console.log(`${request.folder}: ${tensors} tensors, ${byteLength} bytes`);
  return 0;
}

if (import.meta.main) Deno.exit(await exitCode(() => main(Deno.args), { also: [RangeError] }));
