/** Checks of a byte range against its file, shared by the sources. @module */
import { WeightsError } from "./errors.ts";

/** @throws {WeightsError} unless `offset .. offset + length` lies inside `size` bytes. */
export function checkRange(path: string, size: number, offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || offset < 0 || offset + length > size) {
    throw new WeightsError(
      `Cannot read "${path}": bytes ${offset} to ${
        offset + length
      } asked for, the file has ${size}`,
    );
  }
}

/** The error for a file that lost its end after it was opened. */
export function cutError(path: string, wanted: number, found: number): WeightsError {
  return new WeightsError(
    `Cannot read "${path}": the file was changed while in use, found ${found} bytes, ` +
      `expected at least ${wanted}, restore it and start again`,
  );
}
