/** Starts a part's process, collects what it tells, and stops it in time. @module */
import { TextLineStream } from "@std/streams";
import { type Finding, parseFinding } from "./finding.ts";
import type { PartInput } from "./parts.ts";

/** How a part ended. */
export interface PartResult {
  readonly part: string;
  /** "done", or why not in words. */
  readonly status: string;
  readonly seconds: number;
  readonly findings: readonly Finding[];
}

const ENTRY = new URL("./part.ts", import.meta.url).pathname;
const CONFIG = new URL("../../deno.json", import.meta.url).pathname;

/** Runs the part for at most `input.seconds`; never throws for what happens in it. */
export async function startPart(input: PartInput, entry = ENTRY): Promise<PartResult> {
  const start = performance.now();
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--frozen", "--cached-only", "--no-prompt", "--allow-all"],
      ...["--config", CONFIG, entry, JSON.stringify(input)],
    ],
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  let late = false;
  const deadline = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, input.seconds * 1000);
  const findings: Finding[] = [];
  let ended = false;
  let error = "";
  await Promise.all([
    eachLine(child.stdout, (line) => {
      if (line === "end") ended = true;
      const finding = parseFinding(line);
      if (finding) findings.push(finding);
    }),
    eachLine(child.stderr, (line) => {
      if (/^(Error:|error:|thread .* panicked)/.test(line) && !line.includes("XDG_")) {
        error ||= line;
      }
    }),
  ]);
  const { code, signal } = await child.status;
  clearTimeout(deadline);
  const seconds = (performance.now() - start) / 1000;
  const status = ended
    ? "done"
    : late
    ? `stopped after ${seconds.toFixed(0)} s, its time was over`
    : `failed: ${error.replace(/^Error: /, "") || `ended with ${signal ?? `code ${code}`}`}`;
  return { part: input.part, status, seconds, findings };
}

async function eachLine(
  stream: ReadableStream<Uint8Array<ArrayBuffer>>,
  use: (line: string) => void,
): Promise<void> {
  const lines = stream.pipeThrough(new TextDecoderStream()).pipeThrough(new TextLineStream());
  for await (const line of lines) use(line);
}
