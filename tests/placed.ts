/** Programs in tests: uploads buffers, records one program and reads a buffer back. @module */
import { KernelCache } from "../runtime/gpu/kernel.ts";
import { Program } from "../runtime/gpu/program.ts";
import type { Matrix } from "../runtime/model/parts.ts";
import type { FormatName } from "../shaders/common/formats.ts";
import type { StepShape } from "../shaders/kernel_spec.ts";
import { gpu } from "./gpu.ts";
import { testMatrix } from "./shaders/weights.ts";

const { device } = await gpu();
const kernels = new KernelCache(device);
const otherwise = new KernelCache(device, kernels.variant, !kernels.software);

type Words = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

/**
 * An empty program of the shared device; kernels are compiled once for the file. They are cut as for a CPU that runs shaders if
 * the device is one, unless said.
 */
export function newProgram(software = kernels.software): Program {
  return new Program(device, software === kernels.software ? kernels : otherwise);
}

device.addEventListener("uncapturederror", (event) => {
  throw (event as GPUUncapturedErrorEvent).error;
});

/** A buffer with `data`, or of so many words with NaN in each. */
export function place(data: Words | number): GPUBuffer {
  const words = typeof data === "number" ? new Uint32Array(data).fill(0x7fc00123) : data;
  const buffer = device.createBuffer({
    size: Math.max(16, Math.ceil(words.byteLength / 16) * 16),
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC |
      GPUBufferUsage.INDIRECT,
  });
  device.queue.writeBuffer(buffer, 0, words);
  return buffer;
}

/** Overwrites the start of a buffer. */
export function write(buffer: GPUBuffer, data: Words): void {
  device.queue.writeBuffer(buffer, 0, data);
}

/** Submits the programs one after another, in one pass; returns how many dispatches ran. */
export async function run(
  programs: readonly Program[],
  shape: Partial<StepShape> & { readonly rows: number },
): Promise<number> {
  device.pushErrorScope("validation");
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  let count = 0;
  for (const program of programs) {
    count += program.record(pass, { segments: 1, headRows: 1, maxContext: shape.rows, ...shape });
  }
  pass.end();
  device.queue.submit([encoder.finish()]);
  const error = await device.popErrorScope();
  if (error) throw new Error(`Cannot run the program: ${error.message}`);
  return count;
}

/** The first `words` words of a buffer. */
export async function read(buffer: GPUBuffer, words: number): Promise<Float32Array<ArrayBuffer>> {
  const size = Math.ceil(words / 4) * 16;
  const copy = device.createBuffer({
    size,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, copy, 0, size);
  device.queue.submit([encoder.finish()]);
  await copy.mapAsync(GPUMapMode.READ);
  const data = new Float32Array(copy.getMappedRange().slice(0));
  copy.destroy();
  return data.subarray(0, words);
}

/** A test matrix on the GPU, its rows split at `splits`, with its dense values. */
export function placeMatrix(
  format: FormatName,
  { n, k, scaleRows = 128, splits = [] }: {
    readonly n: number;
    readonly k: number;
    readonly scaleRows?: number;
    readonly splits?: readonly number[];
  },
  salt = 1,
): { readonly matrix: Matrix; readonly dense: Float32Array<ArrayBuffer> } {
  const { codes, scales, dense } = testMatrix(format, { n, k, scaleRows }, salt);
  const perRow = format === "fp8" ? k : 2 * k;
  const scaleBytes = Math.ceil(k / 128) * 2;
  const ends = [...splits, n];
  const slices = ends.map((end, i) => {
    const firstRow = i ? ends[i - 1]! : 0;
    const scaleEnd = Math.ceil(end / scaleRows) * scaleBytes;
    return {
      firstRow,
      rows: end - firstRow,
      codes: place(bytes(codes, firstRow * perRow, end * perRow)),
      scales: format === "fp8"
        ? place(bytes(scales, firstRow / scaleRows * scaleBytes, scaleEnd))
        : null,
    };
  });
  return { matrix: { format, n, k, scaleRows, slices }, dense };
}

function bytes(
  words: Uint32Array<ArrayBuffer>,
  from: number,
  to: number,
): Uint32Array<ArrayBuffer> {
  const part = new Uint8Array(Math.ceil((to - from) / 16) * 16);
  part.set(new Uint8Array(words.buffer, from, to - from));
  return new Uint32Array(part.buffer);
}
