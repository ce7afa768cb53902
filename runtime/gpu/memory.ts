/** Planned allocation: every buffer of the engine is made here, counted, and freed together. @module */
import type { Gpu } from "./device.ts";

/** The device keeps a copy of all that is written until something is submitted: no more than this. */
const UNSUBMITTED_BYTES = 64 * 2 ** 20;

/** The engine's GPU buffers by purpose. */
export class GpuMemory {
  readonly #gpu: Gpu;
  readonly #buffers: GPUBuffer[] = [];
  readonly #bytes = new Map<string, number>();
  #unsubmitted = 0;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Bytes allocated so far for each purpose. */
  get bytes(): ReadonlyMap<string, number> {
    return this.#bytes;
  }

  /** All bytes allocated so far. */
  get total(): number {
    return [...this.#bytes.values()].reduce((sum, bytes) => sum + bytes, 0);
  }

  /** Largest storage binding in bytes. */
  get maxBinding(): number {
    return this.#gpu.maxBinding;
  }

  /**
   * A zeroed storage buffer that can be bound, written and copied; `size` is rounded up to 16 bytes. Kernels may leave grids
   * (`IndirectGrid`) among the "activations".
   * @throws {RangeError} if it cannot be bound as a whole
   */
  storage(purpose: string, label: string, size: number): GPUBuffer {
    const more = purpose === "activations" ? GPUBufferUsage.INDIRECT : 0;
    const buffer = this.#allocate(label, size, GPUBufferUsage.COPY_SRC | more);
    this.#bytes.set(purpose, (this.#bytes.get(purpose) ?? 0) + buffer.size);
    return buffer;
  }

  /**
   * As `storage`, in the host's memory, not counted as the device's: kernels read it over the bus. The device must
   * have `Gpu.hostStorage`.
   */
  hostStorage(label: string, size: number): GPUBuffer {
    // Drivers take memory that the device has no fast access to when it is only ever mapped for reading.
    return this.#allocate(label, size, GPUBufferUsage.MAP_READ);
  }

  /** Copies into a buffer, in the order of the queue. For data of which there may be gigabytes. */
  write(buffer: GPUBuffer, offset: number, bytes: Uint8Array<ArrayBuffer>): void {
    const { queue } = this.#gpu.device;
    queue.writeBuffer(buffer, offset, bytes);
    this.#unsubmitted += bytes.length;
    if (this.#unsubmitted < UNSUBMITTED_BYTES) return;
    queue.submit([]);
    this.#unsubmitted = 0;
  }

  /** A storage buffer holding `data`. */
  upload(purpose: string, label: string, data: ArrayBufferView<ArrayBuffer>): GPUBuffer {
    const buffer = this.storage(purpose, label, data.byteLength);
    this.#gpu.device.queue.writeBuffer(buffer, 0, padded(data));
    return buffer;
  }

  /** Frees every buffer. */
  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
    this.#buffers.length = 0;
    this.#bytes.clear();
  }

  #allocate(label: string, size: number, usage: GPUBufferUsageFlags): GPUBuffer {
    const rounded = Math.max(16, Math.ceil(size / 16) * 16);
    if (rounded > this.#gpu.maxBinding) {
      throw new RangeError(
        `Cannot allocate "${label}": ${rounded} bytes, the device binds at most ${this.#gpu.maxBinding}`,
      );
    }
    const buffer = this.#gpu.device.createBuffer({
      label,
      size: rounded,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | usage,
    });
    this.#buffers.push(buffer);
    return buffer;
  }
}

/** WebGPU writes whole words: bytes that end in mid-word are copied and padded. */
function padded(data: ArrayBufferView<ArrayBuffer>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  if (bytes.length % 4 === 0) return bytes;
  const whole = new Uint8Array(Math.ceil(bytes.length / 4) * 4);
  whole.set(bytes);
  return whole;
}
