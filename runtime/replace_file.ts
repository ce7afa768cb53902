/** Writing a small file so that nobody ever reads half of it. @module */
import { dirname } from "node:path";
import { readReason } from "../weights/mod.ts";

/**
 * Puts a text in place of a file, whose folder is made if it is missing. Several processes may do so at once: the last
 * one's text is what stays, whole.
 * @throws {Error} with the system's reason if it cannot be written; then the old file is still there, and nothing else
 */
export function replaceFile(path: string, text: string): void {
  const draft = `${path}.${crypto.randomUUID().slice(0, 8)}.new`;
  try {
    Deno.mkdirSync(dirname(path), { recursive: true });
    Deno.writeTextFileSync(draft, text);
    Deno.renameSync(draft, path);
  } catch (error) {
    try {
      Deno.removeSync(draft);
    } catch { /* it was never made */ }
    throw new Error(readReason(error), { cause: error });
  }
}
