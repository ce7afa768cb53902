/**
 * Bytes of one file of a snapshot, read by position. Two implementations: `pread.ts` reads with
 * `Deno.FsFile` and needs `--allow-read` only; `mmap.ts` calls libc and needs `--allow-ffi=<libc>`.
 * @module
 */

/** A file that stays open. Reads never return fewer bytes than asked for: they throw. */
export interface ByteSource {
  readonly path: string;
  readonly kind: SourceKind;
  /** Bytes of the file when it was opened. */
  readonly size: number;
  /** Bytes read since it was opened. */
  readonly bytesRead: number;
  /**
   * Fills `into` with the bytes from `offset` on, on the calling thread.
   * @throws {WeightsError} if the range leaves the file, also when the file was cut since it was opened.
   */
  readSync(offset: number, into: Uint8Array<ArrayBuffer>): void;
  /** How `readInto` can go about it here; the first is what it does unless told otherwise. */
  readonly ways: readonly ReadWay[];
  /** As `readSync`, without blocking on the disk. Any number may run at once; `into` must be left alone meanwhile. */
  readInto(offset: number, into: Uint8Array<ArrayBuffer>, way?: ReadWay): Promise<void>;
  /** As `readInto`, into a new array. */
  read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>>;
  /** Whether `willNeed` does anything. */
  readonly canHint: boolean;
  /**
   * Tells the system that a range will be read soon, and returns at once. False where it cannot be told, or need not be
   * because the page cache seems to have it.
   */
  willNeed(offset: number, length: number): boolean;
  /** Gives the file back once the reads under way have ended; later reads throw. */
  close(): void;
}

/** How bytes are reached. */
export type SourceKind = "mmap" | "pread";

/** How a read goes about it, see `mmap.ts`; one that a source does not know is a "pread". */
export type ReadWay = "pread" | "cached" | "mmap";
