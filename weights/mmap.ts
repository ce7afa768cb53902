/**
 * Reads a file by position through libc (`libc.ts` has the permission), in three ways:
 *
 *     pread    on Deno's thread pool, any number at once
 *     cached   preadv2(RWF_NOWAIT) on the calling thread takes what lies in the page cache; the rest as "pread"
 *     mmap     madvise(MADV_POPULATE_READ) on the pool, then memcpy on the calling thread
 *
 * Which is fastest depends on the disk, the cores and what else they do: `runtime/experts/read_way.ts` measures.
 * On a 2-core virtual machine, Linux 6.18, an expert of 3.1 MB with warm pages takes 0.5 ms by any of them if both
 * cores are idle. If they are busy every hop to the pool waits for a core, so that "cached" is several times as fast.
 * A view of the mapping handed to the GPU without a copy would save 0.4 of 2.7 ms a page-in and costs the right to
 * load any native code (a bare --allow-ffi): it is not built.
 *
 * A file that is cut while mapped raises SIGBUS on the next touch, which ends the process. So a touch
 * is preceded by MADV_POPULATE_READ, which reports an error instead. Long may pass until this thread goes on to the copy:
 * the file's size is looked at right before it, and once more after it, because the rest of the last page reads as zeros.
 * A cut during the copy itself, some 0.1 ms per MB, is still fatal: whoever has the choice takes "mmap" only if it is
 * clearly faster.
 * Where the kernel cannot populate (macOS, Linux before 5.14) nothing is mapped.
 * @module
 */
import { WeightsError } from "./errors.ts";
import { type Libc, LIBC_PATHS, openLibc } from "./libc.ts";
import { checkRange, cutError } from "./range.ts";
import type { ByteSource, ReadWay } from "./byte_source.ts";

const O_RDONLY_CLOEXEC = Deno.build.os === "darwin" ? 0x1000000 : 0x80000;
const PROT_READ = 1;
const MAP_SHARED = 1;
const MADV_POPULATE_READ = 22;
const FADV_WILLNEED = 3;
const RWF_NOWAIT = 8;
const SEEK_END = 2;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;
/** A multiple of every page size in use: 4, 16 and 64 KiB. */
const PAGE = 65536;
/** Shorter reads than this are faster with pread(2), and have no gap in which a signal could strike. */
const MAP_FROM = 65536;
/** Linux moves at most 2 GiB - 4 KiB in one call. */
const MAX_CALL = 2 ** 30;

/** A file mapped read-only. */
export class MappedSource implements ByteSource {
  readonly kind = "mmap";
  readonly path: string;
  readonly size: number;
  readonly ways: readonly ReadWay[];
  readonly canHint: boolean;
  readonly #libc: Libc;
  readonly #file: number;
  /** Address of the first byte; undefined where nothing is mapped. */
  readonly #base: bigint | undefined;
  #reading = 0;
  #closed = false;
  #bytesRead = 0;

  /** @throws {WeightsError} where libc may not be called. @throws whatever `Deno.openSync` throws. */
  constructor(path: string) {
    // Deno does not see what libc opens: this is where its read permission is asked.
    this.size = Deno.statSync(path).size;
    this.path = path;
    this.#libc = libcOrThrow(path);
    this.#file = this.#libc.open(new TextEncoder().encode(path + "\0"), O_RDONLY_CLOEXEC, 0);
    if (this.#file < 0) {
      Deno.openSync(path).close(); // throws, with the reason
      throw new WeightsError(`Cannot open "${path}": libc's open refuses it`);
    }
    this.#base = mapWhole(this.#libc, this.#file, this.size);
    this.canHint = this.#libc.fadviseAsync !== null;
    this.ways = [
      "pread",
      ...(this.#libc.preadv2 === null ? [] : ["cached"] as const),
      ...(this.#base === undefined ? [] : ["mmap"] as const),
    ];
  }

  /** Whether the file is mapped, rather than read with pread(2). */
  get mapped(): boolean {
    return this.#base !== undefined;
  }

  /** See `ByteSource`. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /** See `ByteSource`. */
  readSync(offset: number, into: Uint8Array<ArrayBuffer>): void {
    this.#check(offset, into.length);
    if (this.#base === undefined || into.length < MAP_FROM) return this.#preadSync(offset, into);
    const { address, length } = this.#pages(this.#base, offset, into.length);
    const populated = this.#libc.madvise(address, length, MADV_POPULATE_READ);
    // Also how a failing disk shows; pread tells the two apart without touching the mapping.
    if (populated !== 0) return this.#preadSync(offset, into);
    this.#copy(this.#base, offset, into);
  }

  /** See `ByteSource`. */
  async readInto(
    offset: number,
    into: Uint8Array<ArrayBuffer>,
    way: ReadWay = "pread",
  ): Promise<void> {
    this.#check(offset, into.length);
    this.#reading++;
    try {
      if (way === "mmap" && await this.#readMapped(offset, into)) return;
      const done = way === "cached" ? this.#readCached(offset, into) : 0;
      await this.#readOnPool(offset, into, done);
    } finally {
      this.#reading--;
      this.#release();
    }
  }

  /** See `ByteSource`. */
  willNeed(offset: number, length: number): boolean {
    const { fadviseAsync } = this.#libc;
    if (this.#closed || fadviseAsync === null || this.#seemsCached(offset, length)) return false;
    this.#reading++;
    fadviseAsync(this.#file, BigInt(offset), BigInt(length), FADV_WILLNEED).finally(() => {
      this.#reading--;
      this.#release();
    });
    return true;
  }

  /** See `ByteSource`. */
  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    this.#check(offset, length);
    const into = new Uint8Array(length);
    await this.readInto(offset, into);
    return into;
  }

  /** See `ByteSource`. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#release();
  }

  #release(): void {
    if (!this.#closed || this.#reading > 0) return;
    if (this.#base !== undefined) this.#libc.munmap(this.#base, BigInt(this.size));
    this.#libc.close(this.#file);
  }

  #check(offset: number, length: number): void {
    if (this.#closed) throw new WeightsError(`Cannot read "${this.path}": it was closed`);
    checkRange(this.path, this.size, offset, length);
  }

  /** The pages of a range, and their bytes. */
  #pages(base: bigint, offset: number, bytes: number): { address: bigint; length: bigint } {
    const start = Math.floor(offset / PAGE) * PAGE;
    return { address: base + BigInt(start), length: BigInt(offset - start + bytes) };
  }

  #copy(base: bigint, offset: number, into: Uint8Array<ArrayBuffer>): void {
    this.#needSize(offset + into.length);
    this.#libc.memcpy(into, base + BigInt(offset), BigInt(into.length));
    this.#needSize(offset + into.length);
    this.#bytesRead += into.length;
  }

  /** @throws {WeightsError} if the file has become shorter than this. */
  #needSize(wanted: number): void {
    const now = this.#sizeNow();
    if (now < wanted) throw cutError(this.path, wanted, now);
  }

  /** False where the mapping is not to be touched. */
  async #readMapped(offset: number, into: Uint8Array<ArrayBuffer>): Promise<boolean> {
    if (this.#base === undefined) return false;
    const { address, length } = this.#pages(this.#base, offset, into.length);
    if (await this.#libc.madviseAsync(address, length, MADV_POPULATE_READ) !== 0) return false;
    this.#copy(this.#base, offset, into);
    return true;
  }

  /** Whether the page cache has the first, the middle and the last byte of a range. */
  #seemsCached(offset: number, length: number): boolean {
    const byte = new Uint8Array(1);
    return [0, length >> 1, length - 1].every((at) => this.#takeCached(offset + at, byte) === 1);
  }

  /** Takes what the page cache holds, from the first byte on; returns how much. */
  #readCached(offset: number, into: Uint8Array<ArrayBuffer>): number {
    const count = Math.max(0, this.#takeCached(offset, into));
    this.#bytesRead += count;
    return count; // an error here is told by the read that follows
  }

  /** Returns the bytes taken; 0 or less where there are none. */
  #takeCached(offset: number, into: Uint8Array<ArrayBuffer>): number {
    const { preadv2, memcpy } = this.#libc;
    if (preadv2 === null || into.length === 0) return 0;
    // Copying nothing returns the address of where it would have gone.
    const vector = BigUint64Array.of(BigInt(memcpy(into, 0n, 0n)), BigInt(into.length));
    return Number(preadv2(this.#file, vector, 1, BigInt(offset), RWF_NOWAIT));
  }

  async #readOnPool(offset: number, into: Uint8Array<ArrayBuffer>, from: number): Promise<void> {
    for (let done = from; done < into.length;) {
      const part = into.subarray(done, done + MAX_CALL);
      const at = BigInt(offset + done);
      const count = await this.#libc.preadAsync(this.#file, part, BigInt(part.length), at);
      done += this.#accept(Number(count), offset + into.length);
    }
  }

  #preadSync(offset: number, into: Uint8Array<ArrayBuffer>): void {
    for (let done = 0; done < into.length;) {
      const part = into.subarray(done, done + MAX_CALL);
      const at = BigInt(offset + done);
      const count = this.#libc.pread(this.#file, part, BigInt(part.length), at);
      done += this.#accept(Number(count), offset + into.length);
    }
  }

  #accept(count: number, wanted: number): number {
    this.#bytesRead += Math.max(0, count);
    if (count > 0) return count;
    this.#needSize(wanted);
    throw new WeightsError(`Cannot read "${this.path}": the system reports an input/output error`);
  }

  #sizeNow(): number {
    return Number(this.#libc.lseek(this.#file, 0n, SEEK_END));
  }
}

function mapWhole(libc: Libc, file: number, size: number): bigint | undefined {
  if (size === 0 || Deno.build.os !== "linux") return undefined;
  const base = libc.mmap(0n, BigInt(size), PROT_READ, MAP_SHARED, file, 0n);
  if (base === MAP_FAILED) return undefined;
  if (libc.madvise(base, 1n, MADV_POPULATE_READ) === 0) return base;
  libc.munmap(base, BigInt(size));
  return undefined;
}

function libcOrThrow(path: string): Libc {
  const libc = openLibc();
  if (libc !== undefined) return libc;
  throw new WeightsError(
    `Cannot map "${path}": this process may not call libc, allow --allow-ffi=${LIBC_PATHS[0]}`,
  );
}
