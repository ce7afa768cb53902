/** Times programs on one device: repeats that fill a sample, several samples, their median. @module */
import { median } from "../../runtime/median.ts";
import { type Gpu, openGpu } from "../../runtime/gpu/device.ts";
import type { KernelCache } from "../../runtime/gpu/kernel.ts";
import { Program } from "../../runtime/gpu/program.ts";
import { Readback, syncReadbackWorks } from "../../runtime/gpu/readback.ts";
import { openKernels } from "../../runtime/tune/kernels.ts";
import type { ProductVariant } from "../../shaders/common/variants.ts";
import type { StepShape } from "../../shaders/kernel_spec.ts";
import { cpuTimeOf } from "./cpu_time.ts";

/** Data for a buffer: words to upload, or a number of zeroed bytes. */
export type BufferData = ArrayBufferView<ArrayBuffer> | number;

/** What one run took. */
export interface Share {
  readonly seconds: number;
  /** Of the processors; null where that cannot be told. */
  readonly cpuSeconds: number | null;
}

/** A sample takes at least so long, so that starting and waiting do not count. */
const SAMPLE_MS = 80;
/** No further sample is begun after so long. */
const PATIENCE_MS = 4000;
const MOST_REPEATS = 256;

/** One device and what is needed to time on it. */
export class Bench {
  readonly gpu: Gpu;
  readonly #runs: number;
  readonly #kernels: KernelCache;
  readonly #readback: Readback;
  /** Those that `clear()` frees; the device frees the rest. */
  readonly #buffers: GPUBuffer[] = [];

  private constructor(gpu: Gpu, readback: Readback, kernels: KernelCache, runs: number) {
    this.gpu = gpu;
    this.#readback = readback;
    this.#runs = runs;
    this.#kernels = kernels;
  }

  /** Opens the device; a result is the median of `runs` samples. */
  static async open(runs: number): Promise<Bench> {
    const gpu = await openGpu();
    gpu.device.addEventListener("uncapturederror", (event) => {
      throw (event as GPUUncapturedErrorEvent).error;
    });
    const readback = await Readback.open(gpu.device, 16, syncReadbackWorks());
    const kernels = await openKernels(gpu, { kernels: "auto", cacheDir: null }, () => {});
    return new Bench(gpu, readback, kernels, runs);
  }

  /** The variant of the matrix kernels: as a server chooses it that remembers nothing. */
  get variant(): ProductVariant {
    return this.#kernels.variant;
  }

  /** An empty program. */
  program(): Program {
    return new Program(this.gpu.device, this.#kernels);
  }

  /** A storage buffer that `clear()` frees. */
  place(data: BufferData): GPUBuffer {
    const buffer = this.keep(data);
    this.#buffers.push(buffer);
    return buffer;
  }

  /** A storage buffer that lasts until `close()`. */
  keep(data: BufferData): GPUBuffer {
    const bytes = typeof data === "number" ? data : data.byteLength;
    const buffer = this.gpu.device.createBuffer({
      size: Math.max(16, Math.ceil(bytes / 16) * 16),
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC |
        GPUBufferUsage.INDIRECT,
    });
    if (typeof data !== "number") this.gpu.device.queue.writeBuffer(buffer, 0, data);
    return buffer;
  }

  /** Runs the program once and returns the first `count` floats of `buffer`. */
  async floats(
    program: Program,
    shape: StepShape,
    { buffer, count }: { readonly buffer: GPUBuffer; readonly count: number },
  ): Promise<Float32Array<ArrayBuffer>> {
    const { device } = this.gpu;
    const copy = device.createBuffer({
      size: Math.ceil(count / 4) * 16,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    const encoder = this.#record(program, shape, 1);
    encoder.copyBufferToBuffer(buffer, 0, copy, 0, copy.size);
    device.queue.submit([encoder.finish()]);
    await copy.mapAsync(GPUMapMode.READ);
    const data = new Float32Array(copy.getMappedRange().slice(0)).subarray(0, count);
    copy.destroy();
    return data;
  }

  /** Median seconds of one run of the program, which ran before. */
  async seconds(program: Program, shape: StepShape): Promise<number> {
    const once = await this.#sample(program, shape, 1);
    const repeats = Math.max(1, Math.min(MOST_REPEATS, Math.ceil(SAMPLE_MS / once)));
    const samples: number[] = [];
    const start = performance.now();
    while (samples.length < this.#runs && performance.now() - start < PATIENCE_MS) {
      samples.push(await this.#sample(program, shape, repeats) / repeats);
    }
    return median(samples) / 1000;
  }

  /** One run of the program out of `repeats` in a row, and its part of the processor time. */
  async share(program: Program, shape: StepShape, repeats: number): Promise<Share> {
    let ms = NaN;
    const cpu = await cpuTimeOf(async () => ms = await this.#sample(program, shape, repeats));
    return { seconds: ms / 1000 / repeats, cpuSeconds: cpu === null ? null : cpu / repeats };
  }

  /** Frees the buffers placed so far; programs that use them are of no use after it. */
  clear(): void {
    for (const buffer of this.#buffers) buffer.destroy();
    this.#buffers.length = 0;
  }

  /** Frees everything. */
  async close(): Promise<void> {
    this.clear();
    await this.#readback.close();
    this.gpu.device.destroy();
  }

  async #sample(program: Program, shape: StepShape, repeats: number): Promise<number> {
    const start = performance.now();
    this.gpu.device.queue.submit([this.#record(program, shape, repeats).finish()]);
    await this.#readback.read(16);
    return performance.now() - start;
  }

  #record(program: Program, shape: StepShape, repeats: number): GPUCommandEncoder {
    const encoder = this.gpu.device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let i = 0; i < repeats; i++) program.record(pass, shape);
    pass.end();
    return encoder;
  }
}
