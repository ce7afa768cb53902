/** A part's process: reads its input from the only argument, tells findings as lines of JSON, ends with "end". @module */
import type { Finding } from "./finding.ts";
import { type PartInput, runPart } from "./parts.ts";

const print = (finding: Finding) => console.log(JSON.stringify(finding));

try {
  await runPart(JSON.parse(Deno.args[0]!) as PartInput, print);
  console.log("end");
} catch (error) {
  console.error(`Error: ${(error as Error).message}`);
  Deno.exit(1);
}
// Drivers and timers must not keep the process, nor fail it after everything was told.
Deno.exit(0);
