/** Says how far a long write is. @module */
import { size } from "../plan.ts";

const BAR_WIDTH = 30;
const REDRAW_MS = 100;

/** Where it is said. */
export interface ProgressOutput {
  /** A terminal has a bar that is drawn again and again; a file or a pipe a line at every tenth. */
  readonly isTerminal: boolean;
  write(text: string): void;
}

/** The process's stderr. */
export const STDERR: ProgressOutput = {
  isTerminal: Deno.stderr.isTerminal(),
  write: (text) => void Deno.stderr.writeSync(new TextEncoder().encode(text)),
};

/** Takes how many of how many bytes are done. */
export function progressBar(
  { isTerminal, write }: ProgressOutput = STDERR,
): (done: number, total: number) => void {
  const start = performance.now();
  let [drawn, tenths] = [-Infinity, 0];
  return (done, total) => {
    const now = performance.now();
    const tenthsNow = Math.floor(10 * done / total);
    if (isTerminal ? now - drawn < REDRAW_MS && done < total : tenthsNow === tenths) return;
    [drawn, tenths] = [now, tenthsNow];
    const filled = Math.round(BAR_WIDTH * done / total);
    const line = `[${"#".repeat(filled)}${".".repeat(BAR_WIDTH - filled)}] ${size(done)} of ` +
      `${size(total)}, ${size(done / Math.max(now - start, 1) * 1000)}/s`;
    if (isTerminal) write(`\r${line}   ${done === total ? "\n" : ""}`);
    else write(`${line}\n`);
  };
}
