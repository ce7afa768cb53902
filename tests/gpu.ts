/** Runs single kernels for tests: one device for the file, outputs poisoned with NaN. @module */
import { bind, KernelCache } from "../runtime/gpu/kernel.ts";
import { type Gpu, openGpu } from "../runtime/gpu/device.ts";
import type { Grid, KernelSpec } from "../shaders/kernel_spec.ts";

let opened: Promise<Gpu> | undefined;
let kernels: KernelCache | undefined;

/** The shared device; every machine that runs the tests needs one (software Vulkan will do). */
export function gpu(): Promise<Gpu> {
  return opened ??= openGpu();
}

/**
 * The ways in which a kernel's threads can share what they read on the shared device: through workgroup memory, and (true) by
 * broadcasts where eight neighbours are in one subgroup.
 */
export async function sharingWays(): Promise<readonly boolean[]> {
  const { device: { adapterInfo }, subgroups } = await gpu();
  return subgroups && adapterInfo.subgroupMinSize >= 8 ? [false, true] : [false];
}

type Words = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer> | Int32Array<ArrayBuffer>;

/** What a kernel is given: data to upload, or the length in words of a NaN-filled output. */
export type KernelBuffer = Words | { readonly out: number };

const NAN_BITS = 0x7fc00123;

/**
 * Runs `spec` once over `grid` and returns every "read_write" buffer as f32 words.
 * @throws {Error} on any validation or compile error, with its message
 */
export async function runKernel(
  spec: KernelSpec,
  buffers: Readonly<Record<string, KernelBuffer>>,
  grid: Grid,
): Promise<Record<string, Float32Array<ArrayBuffer>>> {
  const { device } = await gpu();
  kernels ??= new KernelCache(device);
  device.pushErrorScope("validation");
  const kernel = kernels.get(spec);
  const bound: Record<string, GPUBuffer> = {};
  for (const name of Object.keys(spec.bindings)) {
    bound[name] = upload(device, name, buffers[name], spec);
  }
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  pass.setPipeline(kernel.pipeline);
  pass.setBindGroup(0, bind(device, kernel, bound));
  pass.dispatchWorkgroups(...grid);
  pass.end();
  const results: [string, GPUBuffer][] = [];
  for (const [name, access] of Object.entries(spec.bindings)) {
    if (access !== "read_write") continue;
    const size = bound[name]!.size;
    const copy = device.createBuffer({
      size,
      usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
    });
    encoder.copyBufferToBuffer(bound[name]!, 0, copy, 0, size);
    results.push([name, copy]);
  }
  device.queue.submit([encoder.finish()]);
  const error = await device.popErrorScope();
  if (error) throw new Error(`Cannot run kernel "${spec.name}": ${error.message}`);
  const read: Record<string, Float32Array<ArrayBuffer>> = {};
  for (const [name, copy] of results) {
    await copy.mapAsync(GPUMapMode.READ);
    read[name] = new Float32Array(copy.getMappedRange().slice(0));
    copy.destroy();
  }
  for (const buffer of Object.values(bound)) buffer.destroy();
  return read;
}

function upload(
  device: GPUDevice,
  name: string,
  data: KernelBuffer | undefined,
  spec: KernelSpec,
): GPUBuffer {
  if (!data) throw new TypeError(`Cannot run kernel "${spec.name}": buffer "${name}" is missing`);
  const words = "out" in data ? new Uint32Array(data.out).fill(NAN_BITS) : data;
  const buffer = device.createBuffer({
    label: name,
    size: Math.max(16, Math.ceil(words.byteLength / 16) * 16),
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST |
      GPUBufferUsage.COPY_SRC,
  });
  device.queue.writeBuffer(buffer, 0, words);
  return buffer;
}
