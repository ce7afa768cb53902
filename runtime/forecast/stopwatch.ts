/** Times work on an open device: repeats that fill a sample, the best of several. Blocks its thread. @module */
import type { Grid, KernelSpec } from "../../shaders/kernel_spec.ts";
import type { Gpu } from "../gpu/device.ts";
import { bind, type Bound, type Kernel, KernelCache } from "../gpu/kernel.ts";
import { Readback, syncReadbackWorks } from "../gpu/readback.ts";

/** Submits work so many times over. */
export type Work = (repeats: number) => void;

/** How carefully is timed. */
export interface Patience {
  /** A sample is repeated until it takes so long, so that waiting for it does not count. */
  readonly sampleMs: number;
  readonly samples: number;
}

const MOST_REPEATS = 4096;
/** No further sample of one work is begun after so long. */
const MOST_MS = 150;

/** One device's stopwatch; the buffers it makes live until it is closed. */
export class Stopwatch {
  readonly gpu: Gpu;
  readonly #patience: Patience;
  readonly #kernels: KernelCache;
  readonly #readback: Readback;
  readonly #buffers: GPUBuffer[] = [];

  private constructor(gpu: Gpu, patience: Patience, readback: Readback) {
    this.gpu = gpu;
    this.#patience = patience;
    this.#kernels = new KernelCache(gpu.device);
    this.#readback = readback;
  }

  static async open(gpu: Gpu, patience: Patience): Promise<Stopwatch> {
    const readback = await Readback.open(gpu.device, 256, syncReadbackWorks());
    return new Stopwatch(gpu, patience, readback);
  }

  /** Frees every buffer. */
  async close(): Promise<void> {
    for (const buffer of this.#buffers) buffer.destroy();
    await this.#readback.close();
  }

  /** A buffer that lives until the end; a storage buffer that can be written unless said. */
  buffer(
    size: number,
    usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
  ): GPUBuffer {
    const rounded = Math.max(16, Math.ceil(size / 16) * 16);
    const buffer = this.gpu.device.createBuffer({ label: "stopwatch", size: rounded, usage });
    this.#buffers.push(buffer);
    return buffer;
  }

  /** One kernel, dispatched again and again in one pass; each dispatch waits for the one before where both write. */
  kernel(spec: KernelSpec, buffers: Readonly<Record<string, Bound>>, grid: Grid): Work {
    const kernel: Kernel = this.#kernels.get(spec);
    const group = bind(this.gpu.device, kernel, buffers);
    return (repeats) => {
      const encoder = this.gpu.device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(kernel.pipeline);
      pass.setBindGroup(0, group);
      for (let i = 0; i < repeats; i++) pass.dispatchWorkgroups(...grid);
      pass.end();
      this.gpu.device.queue.submit([encoder.finish()]);
    };
  }

  /** Seconds until everything submitted is done. */
  async wait(): Promise<number> {
    const start = performance.now();
    await this.#readback.read(16);
    return (performance.now() - start) / 1000;
  }

  /** Seconds from now until `work` is done, once. */
  async once(work: () => void): Promise<number> {
    const start = performance.now();
    work();
    await this.#readback.read(16);
    return (performance.now() - start) / 1000;
  }

  /** Best seconds of one of the repeats of `work`; never fewer than `least` at a time. */
  async seconds(work: Work, least = 1): Promise<number> {
    work(least); // compiled, paged in
    await this.wait();
    const start = performance.now();
    let best = await this.once(() => work(least)) / least;
    const wanted = Math.ceil(this.#patience.sampleMs / 1000 / best);
    const repeats = Math.max(least, Math.min(MOST_REPEATS, wanted));
    for (let sample = 0; sample < this.#patience.samples; sample++) {
      if (performance.now() - start > MOST_MS) break;
      best = Math.min(best, await this.once(() => work(repeats)) / repeats);
    }
    return best;
  }
}

/** Fills a buffer with words that no memory compresses, `piece` bytes at a time. */
export function fillWords(queue: GPUQueue, buffer: GPUBuffer, words: Uint32Array<ArrayBuffer>) {
  for (let at = 0; at < buffer.size; at += words.byteLength) {
    const bytes = Math.min(words.byteLength, buffer.size - at);
    queue.writeBuffer(buffer, at, words, 0, bytes / 4);
  }
}

/** Pseudo-random words. */
export function noise(count: number): Uint32Array<ArrayBuffer> {
  const words = new Uint32Array(count);
  for (let i = 0, x = 1; i < count; i++) words[i] = x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
  return words;
}
