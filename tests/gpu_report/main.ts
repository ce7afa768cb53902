/**
 * `deploy/run gpu-report`: everything that can be known of this machine's GPU and the engine on it, in one
 * command with a limit of time. What fails or finds no time is named in the report.
 * @module
 */
import { exitCode } from "../../runtime/command_line.ts";
import { parseReportOptions, REPORT_HELP, type ReportOptions } from "./options.ts";
import { markdown, type WholeReport } from "./markdown.ts";
import { checkParts, type Part, partsOf } from "./parts.ts";
import { type PartResult, startPart } from "./run_part.ts";

/** A part is not begun with less time than this. */
const LEAST_SECONDS = 5;
/** What the parts after making a snapshot need at least. */
const MODEL_SECONDS = 150;

/** Runs all parts; `log` is told each line for people. */
export async function runReport(
  options: ReportOptions,
  log: (line: string) => void,
): Promise<readonly PartResult[]> {
  const start = performance.now();
  const left = () => options.seconds - (performance.now() - start) / 1000;
  const results: PartResult[] = [];
  for (const part of partsOf(options)) {
    const why = reasonToSkip(part, results, left());
    if (why !== null) {
      results.push({ part: part.name, status: `skipped: ${why}`, seconds: 0, findings: [] });
      log(`${part.name}: skipped, ${why}`);
      continue;
    }
    log(`${part.name}: ${part.title}`);
    const findings = results.flatMap((result) => result.findings);
    const seconds = Math.max(LEAST_SECONDS, Math.min(part.seconds, timeFor(part, left())));
    const result = await startPart({ part: part.name, options, seconds, findings });
    for (const { name, found } of result.findings) log(`  ${name}: ${found}`);
    log(`  ${result.status}, ${result.seconds.toFixed(1)} s`);
    results.push(result);
  }
  return results;
}

/** Making a snapshot must leave time to run it. */
function timeFor({ name }: Part, left: number): number {
  return name === "snapshot" ? left - Math.min(MODEL_SECONDS, left / 2) : left;
}

function reasonToSkip(
  { needs }: Part,
  results: readonly PartResult[],
  left: number,
): string | null {
  const needed = results.find(({ part }) => part === needs);
  if (needed && needed.status !== "done") return `${needs} was not done`;
  return left < LEAST_SECONDS ? "no time left" : null;
}

async function commit(): Promise<string> {
  const { dirname } = import.meta;
  try {
    const command = new Deno.Command("git", {
      args: ["-C", dirname!, "rev-parse", "--short", "HEAD"],
      stderr: "null",
    });
    return new TextDecoder().decode((await command.output()).stdout).trim() || "unknown";
  } catch {
    return "unknown";
  }
}

async function main(args: readonly string[]): Promise<number> {
  if (args.includes("--help")) {
    console.log(REPORT_HELP);
    return 0;
  }
  const options = parseReportOptions(args, Deno.env.get("TMPDIR") ?? "/tmp");
  checkParts(options);
  const start = performance.now();
  const started = new Date().toISOString().slice(0, 16).replace("T", " ");
  const parts = await runReport(options, (line) => console.error(line));
  const report: WholeReport = {
    started,
    command: ["deploy/run gpu-report", ...args].join(" "),
    commit: await commit(),
    seconds: (performance.now() - start) / 1000,
    parts,
  };
  const text = markdown(report);
  Deno.writeTextFileSync(`${options.out}.md`, text);
  Deno.writeTextFileSync(`${options.out}.json`, JSON.stringify({ ...report, options }, null, 1));
  console.log(text);
  console.error(`${options.out}.md and ${options.out}.json are written`);
  return parts.every(({ status }) => status === "done") ? 0 : 1;
}

if (import.meta.main) Deno.exit(await exitCode(() => main(Deno.args)));
