/**
 * Small results from the GPU without Deno's 10 ms wait.
 *
 * An awaited `mapAsync` sleeps at least 10 ms in Deno, but the mapping is complete when the call returns.
 * So a read may skip the await -- on a buffer that was mapped once with an await before, else the
 * process panics. `Readback.open` primes its buffers; `syncReadbackWorks` says whether skipping works here.
 * @module
 */

/** Deno versions whose un-awaited maps were seen to be complete on return; the tests prove it in a child process. */
const SYNC_VERSIONS = ["2.9.5", "2.9.6"];

/** Whether this Deno completes a map before the call returns; where unknown, reads are awaited. */
export function syncReadbackWorks(version: string = Deno.version.deno): boolean {
  return SYNC_VERSIONS.includes(version);
}

/** A ring of one: a mappable buffer that results are copied into and read from. */
export class Readback {
  readonly #device: GPUDevice;
  readonly #buffer: GPUBuffer;
  readonly #sync: boolean;
  /** Un-awaited maps whose promise has not settled yet; tests drain them. */
  readonly #pending = new Set<Promise<void>>();

  private constructor(device: GPUDevice, buffer: GPUBuffer, sync: boolean) {
    this.#device = device;
    this.#buffer = buffer;
    this.#sync = sync;
  }

  /** A read-back of at most `size` bytes; `sync` skips the wait and needs `syncReadbackWorks()`. */
  static async open(device: GPUDevice, size: number, sync: boolean): Promise<Readback> {
    const buffer = device.createBuffer({
      label: "readback",
      size: Math.ceil(size / 16) * 16,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    await buffer.mapAsync(GPUMapMode.READ);
    buffer.getMappedRange();
    buffer.unmap();
    return new Readback(device, buffer, sync);
  }

  /** The buffer to copy results into, within the step's encoder. */
  get target(): GPUBuffer {
    return this.#buffer;
  }

  /** The first `size` bytes (a multiple of 4), after all submitted work is done. Blocks the thread when sync. */
  read(size: number): Promise<ArrayBuffer> | ArrayBuffer {
    const mapped = this.#buffer.mapAsync(GPUMapMode.READ);
    if (!this.#sync) return mapped.then(() => this.#take(size));
    const settled: Promise<void> = mapped.catch(() => {}).finally(() =>
      this.#pending.delete(settled)
    );
    this.#pending.add(settled);
    return this.#take(size);
  }

  /** Waits until no un-awaited map is left. */
  async drain(): Promise<void> {
    await Promise.all(this.#pending);
  }

  /** Frees the buffer after draining. */
  async close(): Promise<void> {
    await this.drain();
    this.#buffer.destroy();
  }

  #take(size: number): ArrayBuffer {
    // Deno hands out a copy of the mapping, so it may be kept after unmap.
    const bytes = this.#buffer.getMappedRange(0, size).slice(0);
    this.#buffer.unmap();
    return bytes;
  }
}
