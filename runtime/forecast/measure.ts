/** Measures what a forecast must know of an open device. Blocks its thread while the device works. @module */
import type { Gpu } from "../gpu/device.ts";
import { bind, KernelCache } from "../gpu/kernel.ts";
import { Readback, syncReadbackWorks } from "../gpu/readback.ts";
import { chainProbe, multiplyProbe, type Probe, readProbe } from "../../shaders/probe/probe.ts";

/** What a device reaches at most. */
export interface Rates {
  /** Bytes a second of a kernel that only reads. */
  readonly read: number;
  /** Bytes a second from the host's memory into a buffer. */
  readonly upload: number;
  /** f32 operations a second, a multiply-add counted as two. */
  readonly flops: number;
  /** Seconds of a dispatch that does nothing but wait for the one before. */
  readonly dispatch: number;
}

/** How much is measured. */
export interface MeasureSize {
  /** Bytes that are read: more than the device's caches hold. */
  readonly bytes: number;
  /** Time of one sample; each rate is the best of `samples`. */
  readonly sampleMs: number;
  readonly samples: number;
}

/** Dispatches of a chain: as many as a token takes. */
export const CHAIN = 300;

const PIECE = 2 ** 23;
const MULTIPLY = { software: [64, 16], hardware: [4096, 512] } as const;
const MOST_REPEATS = 4096;

/** Enough for a forecast: a fraction of a second. */
export function defaultSize({ software, maxBinding }: Gpu): MeasureSize {
  const bytes = Math.min(software ? 2 ** 25 : 2 ** 28, Math.floor(maxBinding / PIECE) * PIECE);
  return { bytes, sampleMs: 20, samples: 3 };
}

/** Measures all rates; every buffer is freed again. */
export async function measureRates(gpu: Gpu, size = defaultSize(gpu)): Promise<Rates> {
  const probes = await Probes.open(gpu, size);
  try {
    return await probes.all();
  } finally {
    await probes.close();
  }
}

/** The probes on one device. */
class Probes {
  readonly #gpu: Gpu;
  readonly #size: MeasureSize;
  readonly #kernels: KernelCache;
  readonly #readback: Readback;
  readonly #buffers: GPUBuffer[] = [];

  private constructor(gpu: Gpu, size: MeasureSize, readback: Readback) {
    this.#gpu = gpu;
    this.#size = size;
    this.#kernels = new KernelCache(gpu.device);
    this.#readback = readback;
  }

  static async open(gpu: Gpu, size: MeasureSize): Promise<Probes> {
    return new Probes(gpu, size, await Readback.open(gpu.device, 16, syncReadbackWorks()));
  }

  async all(): Promise<Rates> {
    const { software } = this.#gpu;
    const { bytes } = this.#size;
    const data = this.#storage(bytes);
    const upload = await this.#upload(data);
    const read = await this.#probe(readProbe(bytes), ({ outputBytes }) => ({
      data,
      sums: this.#storage(outputBytes),
    }));
    const [groups, rounds] = MULTIPLY[software ? "software" : "hardware"];
    const arithmetic = multiplyProbe(groups, rounds);
    const multiply = await this.#probe(arithmetic, ({ outputBytes }) => ({
      ends: this.#storage(outputBytes),
    }));
    const chain = await this.#probe(chainProbe(), ({ outputBytes }) => ({
      words: this.#storage(outputBytes),
    }), CHAIN);
    return {
      read: bytes / read,
      upload: bytes / upload,
      flops: arithmetic.flops / multiply,
      dispatch: chain,
    };
  }

  async close(): Promise<void> {
    for (const buffer of this.#buffers) buffer.destroy();
    await this.#readback.close();
  }

  /** Seconds to fill `data`, with words that no memory compresses. */
  async #upload(data: GPUBuffer): Promise<number> {
    const words = new Uint32Array(PIECE / 4);
    for (let i = 0, x = 1; i < words.length; i++) words[i] = x = (Math.imul(x, 1664525) + 1) >>> 0;
    const { queue } = this.#gpu.device;
    return await this.#best(() => {
      for (let at = 0; at < data.size; at += PIECE) queue.writeBuffer(data, at, words);
      return 1;
    });
  }

  /** Best seconds of one dispatch of a probe. */
  async #probe<P extends Probe>(
    probe: P,
    buffers: (probe: P) => Readonly<Record<string, GPUBuffer>>,
    least = 1,
  ): Promise<number> {
    const { device } = this.#gpu;
    const kernel = this.#kernels.get(probe.spec);
    const group = bind(device, kernel, buffers(probe));
    const run = (repeats: number) => {
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      pass.setPipeline(kernel.pipeline);
      pass.setBindGroup(0, group);
      for (let i = 0; i < repeats; i++) pass.dispatchWorkgroups(...probe.grid);
      pass.end();
      device.queue.submit([encoder.finish()]);
      return repeats;
    };
    const once = await this.#best(() => run(least));
    const wanted = Math.ceil(this.#size.sampleMs / 1000 / once);
    const repeats = Math.max(least, Math.min(MOST_REPEATS, wanted));
    return repeats === least ? once : Math.min(once, await this.#best(() => run(repeats)));
  }

  /** Best seconds of one of the repeats that `work` submits. */
  async #best(work: () => number): Promise<number> {
    work(); // compiled, paged in
    await this.#readback.read(16);
    let best = Infinity;
    for (let sample = 0; sample < this.#size.samples; sample++) {
      const start = performance.now();
      const repeats = work();
      await this.#readback.read(16);
      best = Math.min(best, (performance.now() - start) / 1000 / repeats);
    }
    return best;
  }

  #storage(size: number): GPUBuffer {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
    const buffer = this.#gpu.device.createBuffer({ label: "probe", size, usage });
    this.#buffers.push(buffer);
    return buffer;
  }
}
