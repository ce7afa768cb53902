/**
 * Reads a file by position through libc: long reads on the calling thread with `mmap` and `memcpy`, short
 * ones with `pread`, those on Deno's thread pool with `pread` too. The only file that calls foreign functions.
 *
 * Permission: `--allow-ffi=<path of libc>`, one of `LIBC_PATHS`. Only numbers and JS buffers cross the
 * border, so the flag need not be bare. Be aware that libc can do whatever this user can.
 *
 * Measured on a 2-core virtual machine, Linux 6.18, pages warm; one expert of 3.1 MB, one row of 4 KB:
 *
 *     mmap: populate, memcpy into a JS buffer   0.44 ms          2.8 us   --allow-ffi=<libc>
 *     pread(2), calling thread / pool           0.49 / 0.53 ms   1.1 us   --allow-ffi=<libc>
 *     Deno.FsFile, sync / async (`pread.ts`)    0.49 / 0.54 ms   1.0 us   no FFI at all
 *     populate, UnsafePointerView, no copy      0.04 ms                   bare --allow-ffi
 *     writeBuffer() to a software adapter       2.3 ms, behind any of them
 *
 * Zero-copy would save 0.4 of 2.7 ms a page-in and costs the right to load any native code: it is not
 * built. The others differ by less than the noise of a page-in, and cold pages are bound by the disk
 * on every path, so least privilege wins: where FFI is not granted nothing is lost.
 *
 * A file that is cut while mapped raises SIGBUS on the next touch, which ends the process. So a touch
 * is preceded by madvise(MADV_POPULATE_READ), which reports an error instead, and followed by a look
 * at the file's size, because the rest of the last page reads as zeros. A cut between the two calls, some
 * 0.1 ms per MB, is still fatal. That is why only long reads on the calling thread use the mapping:
 * they belong to start-up. Experts and embedding rows go through `pread`, which has no such gap.
 * Where the kernel cannot populate (macOS, Linux before 5.14) nothing is mapped.
 * @module
 */
import { WeightsError } from "./errors.ts";
import { checkRange, cutError } from "./range.ts";
import type { ByteSource } from "./source.ts";

/** Where libc lies, by system: glibc of Debian and others, musl, macOS. */
export const LIBC_PATHS: readonly string[] = Deno.build.os === "darwin"
  ? ["/usr/lib/libSystem.B.dylib"]
  : [
    `/lib/${Deno.build.arch}-linux-gnu/libc.so.6`,
    `/usr/lib/${Deno.build.arch}-linux-gnu/libc.so.6`,
    "/lib64/libc.so.6",
    "/usr/lib64/libc.so.6",
    "/usr/lib/libc.so.6",
    `/lib/ld-musl-${Deno.build.arch}.so.1`,
  ];

const SYMBOLS = {
  open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "usize" },
  munmap: { parameters: ["usize", "usize"], result: "i32" },
  madvise: { parameters: ["usize", "usize", "i32"], result: "i32" },
  memcpy: { parameters: ["buffer", "usize", "usize"], result: "usize" },
  pread: { parameters: ["i32", "buffer", "usize", "i64"], result: "isize" },
  preadAsync: {
    name: "pread",
    parameters: ["i32", "buffer", "usize", "i64"],
    result: "isize",
    nonblocking: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

type Libc = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

const O_RDONLY_CLOEXEC = Deno.build.os === "darwin" ? 0x1000000 : 0x80000;
const PROT_READ = 1;
const MAP_SHARED = 1;
const MADV_POPULATE_READ = 22;
const SEEK_END = 2;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;
/** A multiple of every page size in use: 4, 16 and 64 KiB. */
const PAGE = 65536;
/** Shorter reads than this are faster with pread(2), and have no gap in which a signal could strike. */
const MAP_FROM = 65536;
/** Linux moves at most 2 GiB - 4 KiB in one call. */
const MAX_CALL = 2 ** 30;

/** The path of a libc that this process may call, or undefined. Never asks the user. */
export function grantedLibc(): string | undefined {
  return LIBC_PATHS.find((path) =>
    Deno.permissions.querySync({ name: "ffi", path }).state === "granted" &&
    load(path) !== undefined
  );
}

/** A file mapped read-only. */
export class MappedSource implements ByteSource {
  readonly kind = "mmap";
  readonly path: string;
  readonly size: number;
  readonly #libc: Libc;
  readonly #file: number;
  /** Address of the first byte; undefined where nothing is mapped. */
  readonly #base: bigint | undefined;
  #reading = 0;
  #closed = false;
  #bytesRead = 0;

  /** @throws {WeightsError} where libc may not be called. @throws whatever `Deno.statSync` throws. */
  constructor(path: string) {
    // Deno does not see what libc opens: this is where its read permission is asked.
    this.size = Deno.statSync(path).size;
    this.path = path;
    this.#libc = libcOrThrow(path);
    this.#file = this.#libc.open(new TextEncoder().encode(path + "\0"), O_RDONLY_CLOEXEC, 0);
    if (this.#file < 0) throw new WeightsError(`Cannot open "${path}": libc's open refuses it`);
    this.#base = mapWhole(this.#libc, this.#file, this.size);
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
    const start = Math.floor(offset / PAGE) * PAGE;
    const populated = this.#libc.madvise(
      this.#base + BigInt(start),
      BigInt(offset - start + into.length),
      MADV_POPULATE_READ,
    );
    if (populated !== 0) {
      // Also how a failing disk shows; pread tells the two apart without touching the mapping.
      return this.#preadSync(offset, into);
    }
    this.#libc.memcpy(into, this.#base + BigInt(offset), BigInt(into.length));
    const now = this.#sizeNow();
    if (now < offset + into.length) throw cutError(this.path, offset + into.length, now);
    this.#bytesRead += into.length;
  }

  /** See `ByteSource`. */
  async readInto(offset: number, into: Uint8Array<ArrayBuffer>): Promise<void> {
    this.#check(offset, into.length);
    this.#reading++;
    try {
      for (let done = 0; done < into.length;) {
        const part = into.subarray(done, done + MAX_CALL);
        const at = BigInt(offset + done);
        const count = await this.#libc.preadAsync(this.#file, part, BigInt(part.length), at);
        done += this.#accept(Number(count), offset + into.length);
      }
    } finally {
      this.#reading--;
      this.#release();
    }
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
    const now = this.#sizeNow();
    if (now < wanted) throw cutError(this.path, wanted, now);
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
  const libc = grantedLibc();
  const symbols = libc === undefined ? undefined : load(libc);
  if (symbols !== undefined) return symbols;
  throw new WeightsError(
    `Cannot map "${path}": this process may not call libc, allow --allow-ffi=${LIBC_PATHS[0]}`,
  );
}

const loaded = new Map<string, Libc | undefined>();

/** Libraries stay open: closing one while a pool thread is inside it would crash. */
function load(path: string): Libc | undefined {
  if (!loaded.has(path)) {
    let symbols: Libc | undefined;
    try {
      symbols = Deno.dlopen(path, SYMBOLS).symbols;
    } catch {
      // Not this system's libc: the next path is tried, and "auto" reads without FFI.
      symbols = undefined;
    }
    loaded.set(path, symbols);
  }
  return loaded.get(path);
}
