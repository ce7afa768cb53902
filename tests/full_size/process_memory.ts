/** A process's memory and reads as the kernel tells them, seen from outside. Linux only. @module */

/** Bytes. */
export interface ProcessMemory {
  /** Resident and of no file: heaps, and the buffers of a software GPU. */
  readonly anonymous: number;
  /** Resident pages of files: the page cache as far as it is mapped, and the program itself. */
  readonly file: number;
  /** Resident and shared with the driver or other processes. */
  readonly shared: number;
  /** Proportional share of everything resident. */
  readonly proportional: number;
}

/** Bytes of files. */
export interface ProcessReads {
  /** Asked for by read calls, from memory or disk. */
  readonly called: number;
  /** Fetched from storage. */
  readonly fetched: number;
}

/** What the process holds now. */
export function readMemory(pid: number): ProcessMemory {
  const status = table(`/proc/${pid}/status`);
  const rollup = table(`/proc/${pid}/smaps_rollup`);
  return {
    anonymous: status.get("RssAnon")!,
    file: status.get("RssFile")!,
    shared: status.get("RssShmem")!,
    proportional: rollup.get("Pss")!,
  };
}

/** What the process has read since it was started. */
export function readReads(pid: number): ProcessReads {
  const io = table(`/proc/${pid}/io`);
  return { called: io.get("rchar")!, fetched: io.get("read_bytes")! };
}

/** Keeps the highest anonymous memory of a process. */
export class PeakMemory implements Disposable {
  highest = 0;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(pid: number, everyMs = 250) {
    const look = () => {
      const found = anonymous(pid);
      if (found !== null) this.highest = Math.max(this.highest, found);
    };
    look();
    this.#timer = setInterval(look, everyMs);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/** Null once the process is gone. */
function anonymous(pid: number): number | null {
  try {
    return table(`/proc/${pid}/status`).get("RssAnon") ?? null;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

/** Lines of "Name: number" or "Name: number kB"; of others the number is NaN. */
function table(path: string): Map<string, number> {
  const entries = Deno.readTextFileSync(path).split("\n").map((line): [string, number] => {
    const [, name = "", count, unit] = line.match(/^(\w+):\s+(\d+)( kB)?/) ?? [];
    return [name, Number(count) * (unit ? 1024 : 1)];
  });
  return new Map(entries);
}
