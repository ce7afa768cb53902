/**
 * The functions of libc that reading needs. Only numbers and JS buffers cross the border, so the permission need not
 * be bare: `--allow-ffi=<path of libc>`, one of `LIBC_PATHS`. Be aware that libc can do whatever this user can.
 * @module
 */

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

const PREAD = { parameters: ["i32", "buffer", "usize", "i64"], result: "isize" } as const;
const MADVISE = { parameters: ["usize", "usize", "i32"], result: "i32" } as const;

const SYMBOLS = {
  open: { parameters: ["buffer", "i32", "i32"], result: "i32" },
  close: { parameters: ["i32"], result: "i32" },
  lseek: { parameters: ["i32", "i64", "i32"], result: "i64" },
  mmap: { parameters: ["usize", "usize", "i32", "i32", "i32", "i64"], result: "usize" },
  munmap: { parameters: ["usize", "usize"], result: "i32" },
  madvise: MADVISE,
  madviseAsync: { name: "madvise", ...MADVISE, nonblocking: true },
  memcpy: { parameters: ["buffer", "usize", "usize"], result: "usize" },
  pread: PREAD,
  preadAsync: { name: "pread", ...PREAD, nonblocking: true },
  // Linux alone has these two.
  preadv2: {
    parameters: ["i32", "buffer", "i32", "i64", "i32"],
    result: "isize",
    optional: true,
  },
  fadviseAsync: {
    name: "posix_fadvise",
    parameters: ["i32", "i64", "i64", "i32"],
    result: "i32",
    nonblocking: true,
    optional: true,
  },
} as const satisfies Deno.ForeignLibraryInterface;

/** The functions by name; those ending in Async run on Deno's thread pool. */
export type Libc = Deno.DynamicLibrary<typeof SYMBOLS>["symbols"];

const loaded = new Map<string, Libc | undefined>();

/** The path of a libc that this process may call, or undefined. Never asks the user. */
export function grantedLibc(): string | undefined {
  return LIBC_PATHS.find((path) =>
    Deno.permissions.querySync({ name: "ffi", path }).state === "granted" &&
    load(path) !== undefined
  );
}

/** The functions of the granted libc, or undefined where none may be called. */
export function openLibc(): Libc | undefined {
  const path = grantedLibc();
  return path === undefined ? undefined : load(path);
}

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
