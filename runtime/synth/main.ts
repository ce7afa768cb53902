/** `deno task synth`: writes a snapshot with random weights, with a progress bar. @module */
import { exitCode } from "../command_line.ts";
import { size } from "../plan.ts";
import { parseSynthOptions, SYNTH_HELP } from "./options.ts";
import { synthesize } from "./synthesize.ts";

const DEMO = `${import.meta.dirname}/../../weights/demo`;
const BAR_WIDTH = 30;

/** Draws the bar at most ten times a second. */
function progressBar(): (done: number, total: number) => void {
  const start = performance.now();
  let drawn = -Infinity;
  return (done, total) => {
    const now = performance.now();
    if (now - drawn < 100 && done < total) return;
    drawn = now;
    const filled = Math.round(BAR_WIDTH * done / total);
    const rate = done / Math.max(now - start, 1) * 1000;
    const line = `\r[${"#".repeat(filled)}${".".repeat(BAR_WIDTH - filled)}] ` +
      `${size(done)} of ${size(total)}, ${size(rate)}/s   `;
    Deno.stderr.writeSync(new TextEncoder().encode(line + (done === total ? "\n" : "")));
  };
}

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
