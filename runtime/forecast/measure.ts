/** Measures what a forecast must know of an open device. Blocks its thread while the device works. @module */
import { chainProbe, multiplyProbe, readProbe } from "../../shaders/probe/probe.ts";
import type { ProductVariant } from "../../shaders/common/variants.ts";
import type { Gpu } from "../gpu/device.ts";
import type { KernelRates } from "./kernel_rates.ts";
import { measureKernels } from "./measure_kernels.ts";
import { fillWords, noise, type Patience, Stopwatch } from "./stopwatch.ts";

/** What a device reaches at most. */
export interface Rates {
  /** Bytes a second of a kernel that only reads. */
  readonly read: number;
  /** Bytes a second from the host's memory into a buffer. */
  readonly upload: number;
  /** f32 operations a second, a multiply-add counted as two. */
  readonly flops: number;
  /** Seconds of a dispatch that does nothing but wait for the one before: the floor. */
  readonly dispatch: number;
  /** What the engine's kernels reach; null where they were not measured. */
  readonly kernels: KernelRates | null;
}

/** How much is measured. */
export interface MeasureSize extends Patience {
  /** Bytes that are read: more than the device's caches hold. */
  readonly bytes: number;
}

/** Dispatches of a chain: as many as a token takes. */
export const CHAIN = 300;

const PIECE = 2 ** 23;
/** Workgroups and rounds of the arithmetic. */
const MULTIPLY = { software: [256, 64], hardware: [4096, 512] } as const;

/** Enough for a forecast: some seconds on a CPU that runs shaders, less on a GPU. */
export function defaultSize({ software, maxBinding }: Gpu): MeasureSize {
  const bytes = Math.min(software ? 2 ** 25 : 2 ** 28, Math.floor(maxBinding / PIECE) * PIECE);
  return { bytes, sampleMs: 20, samples: 3 };
}

/** Measures all rates, with the usual variant of the kernels unless another is given; every buffer is freed again. */
export async function measureRates(
  gpu: Gpu,
  { size = defaultSize(gpu), variant }: {
    readonly size?: MeasureSize;
    readonly variant?: ProductVariant;
  } = {},
): Promise<Rates> {
  const rates = await measureDevice(gpu, size);
  const watch = await Stopwatch.open(gpu, size);
  try {
    return { ...rates, kernels: await measureKernels(watch, variant) };
  } catch {
    return rates; // no room beside what the device holds
  } finally {
    await watch.close();
  }
}

/** Measures what the device does at most, and nothing of the engine's kernels. */
export async function measureDevice(gpu: Gpu, size = defaultSize(gpu)): Promise<Rates> {
  const watch = await Stopwatch.open(gpu, size);
  try {
    const data = watch.buffer(size.bytes);
    const words = noise(PIECE / 4);
    const upload = await watch.seconds((repeats) => {
      for (let i = 0; i < repeats; i++) fillWords(gpu.device.queue, data, words);
    });
    const reading = readProbe(size.bytes);
    const sums = watch.buffer(reading.outputBytes);
    const read = await watch.seconds(watch.kernel(reading.spec, { data, sums }, reading.grid));
    const [groups, rounds] = MULTIPLY[gpu.software ? "software" : "hardware"];
    const multiply = multiplyProbe(groups, rounds);
    const ends = watch.buffer(multiply.outputBytes);
    const computing = await watch.seconds(watch.kernel(multiply.spec, { ends }, multiply.grid));
    const chain = chainProbe();
    const chained = watch.buffer(chain.outputBytes);
    const dispatch = await watch.seconds(
      watch.kernel(chain.spec, { words: chained }, chain.grid),
      CHAIN,
    );
    return {
      read: size.bytes / read,
      upload: size.bytes / upload,
      flops: multiply.flops / computing,
      dispatch,
      kernels: null,
    };
  } finally {
    await watch.close();
  }
}
