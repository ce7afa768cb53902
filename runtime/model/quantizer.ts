/** Rounds BF16 rows to 8 bits on their way to the GPU. @module */
import {
  int8ScaleCount,
  QUANTIZE,
  quantizeGrid,
  type QuantizeShape,
  quantizeSizes,
} from "../../shaders/quantize/quantize.ts";
import { bind, type Bound, KernelCache } from "../gpu/kernel.ts";

/** Rows are rounded in pieces that start at multiples of this: then codes and scales start where a binding may. */
export const QUANTIZED_ROWS = 1024;

/** Some rows of a matrix and where they go. */
export interface QuantizedRows extends QuantizeShape {
  /** BF16 [rows, k]. */
  readonly weights: Uint8Array<ArrayBuffer>;
  /** The first of them in `codes` and `scales`, a multiple of `QUANTIZED_ROWS`. */
  readonly firstRow: number;
  /** int8 codes of the whole matrix. */
  readonly codes: GPUBuffer;
  /** Its BF16 scales. */
  readonly scales: GPUBuffer;
}

/** Has the GPU round what is written through it; holds one piece of BF16 at a time. */
export class Quantizer {
  readonly #device: GPUDevice;
  readonly #kernels: KernelCache;
  #staging: GPUBuffer | null = null;

  constructor(device: GPUDevice) {
    this.#device = device;
    this.#kernels = new KernelCache(device);
  }

  /** Rounds these rows into their places, in the order of the queue. */
  write({ weights, firstRow, rows, k, codes, scales }: QuantizedRows): void {
    const staging = this.#stagingOf(weights.length);
    this.#device.queue.writeBuffer(staging, 0, weights);
    const kernel = this.#kernels.get(QUANTIZE);
    const group = bind(this.#device, kernel, {
      weights: staging,
      codes: part(codes, firstRow * k, rows * k),
      scales: part(
        scales,
        2 * int8ScaleCount({ rows: firstRow, k }),
        2 * int8ScaleCount({ rows, k }),
      ),
      sizes: this.#kernels.uniform(quantizeSizes({ rows, k })),
    });
    const encoder = this.#device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    pass.setPipeline(kernel.pipeline);
    pass.setBindGroup(0, group);
    pass.dispatchWorkgroups(...quantizeGrid({ rows, k }));
    pass.end();
    this.#device.queue.submit([encoder.finish()]);
  }

  /** Frees what was held beside the results. */
  destroy(): void {
    this.#staging?.destroy();
    this.#staging = null;
  }

  #stagingOf(size: number): GPUBuffer {
    if (this.#staging && this.#staging.size >= size) return this.#staging;
    this.#staging?.destroy();
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST;
    return this.#staging = this.#device.createBuffer({ label: "to quantize", size, usage });
  }
}

/** So many bytes of a buffer, in whole quads of words. */
function part(buffer: GPUBuffer, offset: number, bytes: number): Bound {
  return { buffer, offset, size: Math.min(buffer.size - offset, Math.ceil(bytes / 16) * 16) };
}
