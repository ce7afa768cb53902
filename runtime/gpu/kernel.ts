/** Compiles kernel specs into pipelines, each once per device. @module */
import { fp8DecoderConstants } from "../../shaders/common/fp8.ts";
import { defaultVariant, type ProductVariant } from "../../shaders/common/variants.ts";
import type { KernelSpec } from "../../shaders/kernel_spec.ts";

/** A compiled kernel. */
export interface Kernel {
  readonly spec: KernelSpec;
  readonly pipeline: GPUComputePipeline;
  readonly layout: GPUBindGroupLayout;
}

/** What a kernel's buffer is bound to: a whole buffer or a part of one (offset and size in bytes). */
export type Bound = GPUBuffer | {
  readonly buffer: GPUBuffer;
  readonly offset: number;
  readonly size: number;
};

/** Pipelines of one device, keyed by source and constants. */
export class KernelCache {
  readonly #device: GPUDevice;
  readonly #kernels = new Map<string, Kernel>();
  readonly #uniforms = new Map<string, GPUBuffer>();

  /** Whether shaders run on the CPU: kernels may then be cut and dispatched differently. */
  readonly software: boolean;

  /** How products of few rows are computed: one way for all kernels, or bits would depend on the number of rows. */
  readonly variant: ProductVariant;

  /** Kernels of a variant, the usual one of the device unless said; `software` as the device says, but for tests. */
  constructor(
    device: GPUDevice,
    variant: ProductVariant = defaultVariant({
      software: device.adapterInfo.isFallbackAdapter,
      subgroupSize: subgroupSizeOf(device),
    }),
    software: boolean = device.adapterInfo.isFallbackAdapter,
  ) {
    this.#device = device;
    this.variant = variant;
    this.software = software;
  }

  /** How many pipelines were compiled. */
  get size(): number {
    return this.#kernels.size;
  }

  /**
   * The compiled kernel of `spec`. WGSL errors surface through the device's error scope or `uncapturederror`.
   * @throws {RangeError} if the spec binds more storage buffers than the device allows
   */
  get(spec: KernelSpec): Kernel {
    const key = `${spec.name}\n${JSON.stringify(spec.constants)}\n${spec.source}`;
    let kernel = this.#kernels.get(key);
    if (!kernel) this.#kernels.set(key, kernel = this.#compile(spec));
    return kernel;
  }

  /** Most threads of a workgroup. */
  get mostThreads(): number {
    return this.#device.limits.maxComputeInvocationsPerWorkgroup;
  }

  /** Fewest threads of a subgroup; 0 where kernels may not use subgroups. */
  get subgroupSize(): number {
    return subgroupSizeOf(this.#device);
  }

  /** A uniform buffer that holds `words`; equal words share one buffer, which is never written again. */
  uniform(words: readonly number[]): GPUBuffer {
    const key = words.join();
    let buffer = this.#uniforms.get(key);
    if (!buffer) {
      buffer = this.#device.createBuffer({
        label: "sizes",
        size: Math.ceil(words.length / 4) * 16,
        usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
      });
      this.#device.queue.writeBuffer(buffer, 0, Uint32Array.from(words));
      this.#uniforms.set(key, buffer);
    }
    return buffer;
  }

  /** The constants of the variant's decoder, for kernels that have it: unknown constants are refused. */
  #decoderOf({ source }: KernelSpec): Readonly<Record<string, number>> {
    const constants = fp8DecoderConstants(this.variant.decoder);
    const isThere = Object.keys(constants).every((name) => source.includes(`override ${name}:`));
    return isThere ? constants : {};
  }

  #compile(spec: KernelSpec): Kernel {
    const access = Object.values(spec.bindings);
    const storage = access.filter((a) => a !== "uniform").length;
    const most = this.#device.limits.maxStorageBuffersPerShaderStage;
    if (storage > most) {
      throw new RangeError(
        `Cannot compile kernel "${spec.name}": it binds ${storage} storage buffers, the device allows ${most}`,
      );
    }
    const layout = this.#device.createBindGroupLayout({
      label: spec.name,
      entries: access.map((a, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: {
          type: a === "read" ? "read-only-storage" : a === "uniform" ? "uniform" : "storage",
        },
      })),
    });
    const pipeline = this.#device.createComputePipeline({
      label: spec.name,
      layout: this.#device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: {
        module: this.#device.createShaderModule({ label: spec.name, code: spec.source }),
        entryPoint: "main",
        constants: { ...this.#decoderOf(spec), ...spec.constants },
      },
    });
    return { spec, pipeline, layout };
  }
}

function subgroupSizeOf({ features, adapterInfo }: GPUDevice): number {
  return features.has("subgroups") ? adapterInfo.subgroupMinSize : 0;
}

/**
 * A bind group with the kernel's buffers by name.
 * @throws {TypeError} if a name is missing or is not one of the kernel's
 */
export function bind(
  device: GPUDevice,
  kernel: Kernel,
  buffers: Readonly<Record<string, Bound>>,
): GPUBindGroup {
  const names = Object.keys(kernel.spec.bindings);
  const extra = Object.keys(buffers).filter((name) => !names.includes(name));
  if (extra.length) {
    throw new TypeError(
      `Cannot bind "${kernel.spec.name}": it has no buffer "${extra.join('", "')}"`,
    );
  }
  return device.createBindGroup({
    label: kernel.spec.name,
    layout: kernel.layout,
    entries: names.map((name, binding) => {
      const bound = buffers[name];
      if (!bound) {
        throw new TypeError(`Cannot bind "${kernel.spec.name}": buffer "${name}" is missing`);
      }
      return { binding, resource: "buffer" in bound ? bound : { buffer: bound } };
    }),
  });
}
