/** The end of a process in which other threads may still be at work. @module */
import { LIBC_PATHS } from "../weights/mod.ts";

/**
 * Ends the process at once with an exit code. `Deno.exit` lets libraries clean up first, the graphics driver among them,
 * while a thread may be compiling in it: once in some fifty times that crashes. Where libc may not be called it is
 * `Deno.exit`.
 */
export function endProcess(code: number): never {
  for (const path of LIBC_PATHS) {
    try {
      Deno.dlopen(path, { _exit: { parameters: ["i32"], result: "void" } }).symbols._exit(code);
    } catch { /* not this system's libc, or not allowed */ }
  }
  Deno.exit(code);
}
