/** A recorded list of dispatches whose bind groups are built once and whose grids follow the step. @module */
import type { Grid, KernelSpec, StepShape } from "../../shaders/kernel_spec.ts";
import { bind, type Bound, type Kernel, type KernelCache } from "./kernel.ts";

interface Dispatch {
  readonly kernel: Kernel;
  readonly bindGroup: GPUBindGroup;
  readonly grid: (shape: StepShape) => Grid;
  readonly indirect: IndirectGrid | null;
}

/** Where a kernel that ran before has left a grid: three words, in a buffer with the usage INDIRECT. */
export interface IndirectGrid {
  readonly buffer: GPUBuffer;
  /** In bytes: a multiple of 4. */
  readonly offset: number;
}

/** A part of a step: appended to at start, recorded at every step. */
export class Program {
  readonly #device: GPUDevice;
  readonly #kernels: KernelCache;
  readonly #dispatches: Dispatch[] = [];

  constructor(device: GPUDevice, kernels: KernelCache) {
    this.#device = device;
    this.#kernels = kernels;
  }

  /** How many dispatches were added. */
  get length(): number {
    return this.#dispatches.length;
  }

  /** The pipelines that this program's dispatches come from. */
  get kernels(): KernelCache {
    return this.#kernels;
  }

  /**
   * Appends one dispatch; `buffers` maps each binding's name to its buffer. With `indirect` the workgroups are those that are
   * found there, in steps for which `grid` gives any. On a GPU that costs more than workgroups that return at once; on a CPU
   * that runs shaders each of those costs as much as one turn of the kernel's loops.
   */
  add(
    spec: KernelSpec,
    buffers: Readonly<Record<string, Bound>>,
    grid: (shape: StepShape) => Grid,
    indirect: IndirectGrid | null = null,
  ): void {
    const kernel = this.#kernels.get(spec);
    const bindGroup = bind(this.#device, kernel, buffers);
    this.#dispatches.push({ kernel, bindGroup, grid, indirect });
  }

  /**
   * Records every dispatch into an open compute pass; returns how many were not empty. With `done`, only those of kernels
   * that are not in it, and puts them there.
   */
  record(pass: GPUComputePassEncoder, shape: StepShape, done?: Set<Kernel>): number {
    let recorded = 0;
    for (const { kernel, bindGroup, grid, indirect } of this.#dispatches) {
      if (done?.has(kernel)) continue;
      const [x, y, z] = grid(shape);
      if (x * y * z === 0) continue;
      pass.setPipeline(kernel.pipeline);
      pass.setBindGroup(0, bindGroup);
      if (indirect) pass.dispatchWorkgroupsIndirect(indirect.buffer, indirect.offset);
      else pass.dispatchWorkgroups(x, y, z);
      done?.add(kernel);
      recorded++;
    }
    return recorded;
  }
}
