/** Times the ways to compute products of few rows on a device: each is checked, then timed. @module */
import { bf16ToNumber, numberToBf16 } from "../../shaders/common/bf16.ts";
import { FP8_DECODERS, fp8DecoderConstants, fp8ToNumber } from "../../shaders/common/fp8.ts";
import { productCut } from "../../shaders/common/products.ts";
import { STEP } from "../../shaders/common/step.ts";
import type { TileDevice } from "../../shaders/common/tile.ts";
import {
  defaultVariant,
  type ProductVariant,
  runnableVariants,
} from "../../shaders/common/variants.ts";
import type { KernelSpec } from "../../shaders/kernel_spec.ts";
import { matmul, matmulGrid, matmulSizes } from "../../shaders/matmul/matmul.ts";
import { noise, Stopwatch, type Work } from "../forecast/stopwatch.ts";
import type { Gpu } from "../gpu/device.ts";
import { Readback } from "../gpu/readback.ts";
import { unlessRefused } from "../gpu/refusal.ts";
import { median } from "../median.ts";
import type { VariantTime } from "./choice.ts";
import { workingDecoders } from "./decoders.ts";

/** How long and with what is measured. */
export interface TrialSize {
  /** Rows and columns of the matrix. */
  readonly n: number;
  readonly k: number;
  /** Nothing is begun that would end after so many milliseconds: variants that had no turn by then are left out. */
  readonly patienceMs: number;
}

/** A matrix that a GPU does not find in its caches, and one that a CPU reads in a millisecond. */
export function trialSize(software: boolean): TrialSize {
  return software
    ? { n: 1024, k: 2048, patienceMs: 1500 }
    : { n: 16384, k: 4096, patienceMs: 1500 };
}

const SCALE = numberToBf16(2 ** -6);
/** Bytes of codes, repeated all over the matrix. */
const PIECE = 2 ** 20;
const ROUNDS = 3;
/** What a sample should take, so that waiting for it counts little. */
const SAMPLE_MS = 6;
const MOST_REPEATS = 256;
/** Outputs that are checked. */
const CHECKED = 64;
/** Of the sums of so many products, relative to the sum of their sizes. */
const TOLERANCE = 1e-5;

/** The times of all variants that this device computes right with, of those that had a turn; the default's first. */
export async function timeVariants(
  gpu: Gpu,
  device: TileDevice,
  size: TrialSize,
): Promise<VariantTime[]> {
  const begin = performance.now();
  const isLate = (aheadMs: number) => performance.now() - begin + aheadMs > size.patienceMs;
  const decoders = await workingDecoders(gpu.device, FP8_DECODERS);
  const bench = await Bench.open(gpu, size);
  try {
    const candidates: Candidate[] = [];
    // The next is likely to take as long to compile as the one before.
    let lastMs = 0;
    for (const variant of inOrder(runnableVariants(device), defaultVariant(device))) {
      if (candidates.length > 0 && isLate(lastMs)) break;
      if (!decoders.includes(variant.decoder)) continue;
      const start = performance.now();
      const candidate = await bench.prepare(variant);
      lastMs = performance.now() - start;
      if (candidate) candidates.push(candidate);
    }
    for (let round = 0; round < ROUNDS && (round === 0 || !isLate(0)); round++) {
      for (const { one, four, works } of candidates) {
        one.push(await bench.time(works[0]));
        four.push(await bench.time(works[1]));
      }
    }
    return candidates.map(({ name, one, four }) => ({
      name,
      one: median(one),
      four: median(four),
    }));
  } finally {
    await bench.close();
  }
}

/** The default first, then those that differ from it least: where time runs out, they are what is worth knowing. */
export function inOrder(
  variants: readonly ProductVariant[],
  usual: ProductVariant,
): readonly ProductVariant[] {
  const distance = (variant: ProductVariant) =>
    Number(variant.lanes !== usual.lanes) * 2 + Number(variant.outputs !== usual.outputs) * 2 +
    Number(variant.decoder !== usual.decoder) + Number(variant.reduce !== usual.reduce) +
    Number(variant.broadcast !== usual.broadcast);
  return variants.toSorted((a, b) => distance(a) - distance(b));
}

interface Candidate {
  readonly name: string;
  readonly works: readonly [one: Work, four: Work];
  readonly one: number[];
  readonly four: number[];
}

/** One matrix on the device, and four rows to multiply it with. */
class Bench {
  readonly #size: TrialSize;
  readonly #watch: Stopwatch;
  readonly #readback: Readback;
  readonly #wanted: ReturnType<typeof plainProducts>;
  readonly #buffers: Readonly<Record<"codes" | "scales" | "x" | "y", GPUBuffer>>;
  #repeats = 0;

  private constructor(size: TrialSize, watch: Stopwatch, readback: Readback) {
    const { n, k } = size;
    const { device } = watch.gpu;
    this.#size = size;
    this.#watch = watch;
    this.#readback = readback;
    const codes = finiteCodes(PIECE);
    const x = Float32Array.from({ length: ROWS * k }, (_, i) => (i * 37 % 101 - 50) / 64);
    this.#wanted = plainProducts(codes, x, k);
    const made = {
      codes: watch.buffer(n * k),
      scales: watch.buffer(2 * Math.ceil(n / 128) * Math.ceil(k / 128)),
      x: watch.buffer(4 * ROWS * k),
      y: watch.buffer(4 * ROWS * n),
    };
    for (let at = 0; at < n * k; at += PIECE) device.queue.writeBuffer(made.codes, at, codes);
    device.queue.writeBuffer(made.scales, 0, new Uint16Array(made.scales.size / 2).fill(SCALE));
    device.queue.writeBuffer(made.x, 0, x);
    this.#buffers = made;
  }

  static async open(gpu: Gpu, size: TrialSize): Promise<Bench> {
    const watch = await Stopwatch.open(gpu, { sampleMs: SAMPLE_MS, samples: ROUNDS });
    return new Bench(size, watch, await Readback.open(gpu.device, 4 * CHECKED, false));
  }

  async close(): Promise<void> {
    await this.#readback.close();
    await this.#watch.close();
  }

  /** Compiles the products of a variant and runs them once; null if the device refuses one, or one is wrong. */
  async prepare(variant: ProductVariant): Promise<Candidate | null> {
    const { device } = this.#watch.gpu;
    const works = await unlessRefused(device, async () => {
      const [one, four] = [this.#work(variant, 1), this.#work(variant, ROWS)] as const;
      return await this.#isRight(one) && await this.#isRight(four) ? [one, four] as const : null;
    });
    if (!works) return null;
    this.#repeats ||= await this.#calibrate(works[0]);
    return { name: variant.name, works, one: [], four: [] };
  }

  /** Milliseconds of one dispatch. */
  async time(work: Work): Promise<number> {
    return await this.#watch.once(() => work(this.#repeats)) * 1000 / this.#repeats;
  }

  async #calibrate(work: Work): Promise<number> {
    const milliseconds = await this.#watch.once(() => work(1)) * 1000;
    return Math.max(1, Math.min(MOST_REPEATS, Math.round(SAMPLE_MS / milliseconds)));
  }

  #work(variant: ProductVariant, rows: 1 | typeof ROWS): Work {
    const { n, k } = this.#size;
    const { device } = this.#watch.gpu;
    const shape = { format: "fp8", n, k } as const;
    const cut = productCut(rows, variant);
    const spec = matmul(shape, cut);
    const step = this.#watch.buffer(4 * STEP.words);
    device.queue.writeBuffer(step, 4 * STEP.rows, Uint32Array.of(rows));
    const words = Uint32Array.from(matmulSizes(shape));
    const usage = GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST;
    const sizes = this.#watch.buffer(words.byteLength, usage);
    device.queue.writeBuffer(sizes, 0, words);
    const decoding: KernelSpec = {
      ...spec,
      constants: { ...spec.constants, ...fp8DecoderConstants(variant.decoder) },
    };
    return this.#watch.kernel(
      decoding,
      { ...this.#buffers, step, sizes, squares: this.#buffers.x },
      matmulGrid(shape, cut, { rows, segments: 1, headRows: 0, maxContext: 0 }),
    );
  }

  /** Whether the first outputs of the first row are what plain loops make of it. */
  async #isRight(work: Work): Promise<boolean> {
    const { device } = this.#watch.gpu;
    device.queue.writeBuffer(this.#buffers.y, 0, NANS);
    work(1);
    const encoder = device.createCommandEncoder();
    encoder.copyBufferToBuffer(this.#buffers.y, 0, this.#readback.target, 0, 4 * CHECKED);
    device.queue.submit([encoder.finish()]);
    const y = new Float32Array(await this.#readback.read(4 * CHECKED));
    return this.#wanted.every(({ sum, size }, output) =>
      Math.abs(y[output]! - sum) <= TOLERANCE * size
    );
  }
}

/** The first outputs of the first row, and the sums of the sizes of their products. */
function plainProducts(
  codes: Uint8Array,
  x: Float32Array,
  k: number,
): readonly { readonly sum: number; readonly size: number }[] {
  const values = Float64Array.from({ length: 256 }, (_, code) => fp8ToNumber(code));
  const scale = bf16ToNumber(SCALE);
  return Array.from({ length: CHECKED }, (_, output) => {
    let sum = 0;
    let size = 0;
    for (let j = 0; j < k; j++) {
      const product = values[codes[(output * k + j) % PIECE]!]! * scale * x[j]!;
      sum += product;
      size += Math.abs(product);
    }
    return { sum, size };
  });
}

/** Rows of x of the larger products. */
const ROWS = 4;
const NANS = new Uint32Array(CHECKED).fill(0x7fc00000);

/** Codes that no memory compresses, all of them numbers. */
function finiteCodes(count: number): Uint8Array<ArrayBuffer> {
  const codes = new Uint8Array(noise(count / 4).buffer);
  return codes.map((code) => (code & 0x7f) === 0x7f ? 0x3c : code);
}
