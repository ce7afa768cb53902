/** A device that makes nothing, on which programs are built to be counted. @module */
import type { Gpu } from "../gpu/device.ts";

/** What a device would have, as far as it decides how programs are built. */
export interface PaperChoice {
  /** Whether shaders would run on the CPU. */
  readonly software: boolean;
  /** Largest storage binding, bytes. */
  readonly maxBinding: number;
  /** A device whose subgroups it has, or else any. */
  readonly like?: Pick<GPUDevice, "features" | "adapterInfo">;
}

/** Subgroups of any device that is drawn: they change grids, never how many dispatches there are. */
const SUBGROUP = 32;

/** A device whose buffers, pipelines and bind groups are names and sizes; nothing can be submitted to it. */
export function paperGpu({ software, maxBinding, like }: PaperChoice): Gpu {
  const made = (given: { readonly label?: string; readonly size?: number }) => ({
    label: given.label ?? "",
    size: given.size ?? 0,
    destroy: () => {},
  });
  const device = {
    features: like?.features ?? new Set(["subgroups"]),
    adapterInfo: like?.adapterInfo ?? { isFallbackAdapter: software, subgroupMinSize: SUBGROUP },
    limits: {
      maxStorageBuffersPerShaderStage: Infinity,
      maxComputeInvocationsPerWorkgroup: Infinity,
    },
    createBuffer: made,
    createBindGroup: made,
    createBindGroupLayout: made,
    createPipelineLayout: made,
    createShaderModule: made,
    createComputePipeline: made,
    createCommandEncoder: () => ({ copyBufferToBuffer: () => {}, finish: () => ({}) }),
    queue: { writeBuffer: () => {}, submit: () => {} },
  };
  return {
    device: device as unknown as GPUDevice,
    name: "paper",
    software,
    subgroups: true,
    hostStorage: true,
    maxBinding,
  };
}

/** A pass that counts what is recorded into it. */
export class PaperPass {
  #dispatches = 0;

  /** Dispatches recorded so far. */
  get dispatches(): number {
    return this.#dispatches;
  }

  /** What programs record into. */
  get encoder(): GPUComputePassEncoder {
    const count = () => void this.#dispatches++;
    const pass = {
      setPipeline: () => {},
      setBindGroup: () => {},
      dispatchWorkgroups: count,
      dispatchWorkgroupsIndirect: count,
    };
    return pass as unknown as GPUComputePassEncoder;
  }
}
