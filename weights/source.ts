/** Opens a file of a snapshot by the best way that this process may go. @module */
import type { ByteSource, SourceKind } from "./byte_source.ts";
import { readReason, WeightsError } from "./errors.ts";
import { grantedLibc } from "./libc.ts";
import { MappedSource } from "./mmap.ts";
import { PreadSource } from "./pread.ts";

/** "auto" maps where this process may call libc, and reads with `Deno.FsFile` everywhere else. */
export type SourceChoice = "auto" | SourceKind;

/**
 * Opens a file for reading by position.
 * @throws {WeightsError} if the file is missing or may not be read, or for "mmap" where libc may not be called.
 */
export function openSource(path: string, choice: SourceChoice = "auto"): ByteSource {
  try {
    switch (choice) {
      case "auto":
        return grantedLibc() === undefined ? new PreadSource(path) : new MappedSource(path);
      case "mmap":
        return new MappedSource(path);
      case "pread":
        return new PreadSource(path);
      default:
        return choice satisfies never;
    }
  } catch (error) {
    if (error instanceof WeightsError) throw error;
    if (error instanceof Deno.errors.NotFound) {
      throw new WeightsError(`Cannot open "${path}": no such file, download the snapshot again`);
    }
    throw new WeightsError(`Cannot open "${path}": ${readReason(error)}`, { cause: error });
  }
}
