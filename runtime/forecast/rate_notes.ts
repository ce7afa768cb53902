/** Measured rates of devices, kept for later starts: measuring takes seconds. @module */
import type { ProductVariant } from "../../shaders/common/variants.ts";
import { type DeviceKey, deviceKey, DeviceNotes } from "../device_notes.ts";
import type { Gpu } from "../gpu/device.ts";
import { KernelCache } from "../gpu/kernel.ts";
import { assumedRates } from "./kernel_rates.ts";
import type { Rates } from "./measure.ts";
import { paperGpu } from "./paper_device.ts";
import { ProbeModel, realSizes } from "./probe_model.ts";

/** The rates that runs with this folder have measured. */
export function rateNotes(cacheDir: string): DeviceNotes<Rates> {
  const file = `${cacheDir}/rates.json`;
  return new DeviceNotes(file, { format: "deltapage-rates-1", isNote: isMeasured });
}

/** What rates hold for: the device with exactly these kernels. */
export async function rateKey(gpu: Gpu, variant?: ProductVariant): Promise<DeviceKey> {
  const paper = paperGpu({ ...gpu, like: gpu.device });
  const kernels = new SourceList(paper.device, variant);
  new ProbeModel(paper, realSizes(gpu), kernels).draw();
  const text = new TextEncoder().encode(kernels.sources.join("\n"));
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", text));
  return deviceKey(gpu, `${kernels.variant.name} ${hash.slice(0, 8).toHex()}`);
}

/** Kernels as they would be compiled. */
class SourceList extends KernelCache {
  readonly sources: string[] = [];

  override get(spec: Parameters<KernelCache["get"]>[0]): ReturnType<KernelCache["get"]> {
    this.sources.push(spec.name, JSON.stringify(spec.constants), spec.source);
    return super.get(spec);
  }
}

const KERNELS = assumedRates({ bandwidth: 1, flops: 1, dispatch: 1, token: 1 });
const MEASURED: Rates = { read: 1, upload: 1, flops: 1, dispatch: 1, kernels: KERNELS };

/** Rates of a device whose kernels were measured, too. */
function isMeasured(value: unknown): value is Rates {
  return isLike(value, MEASURED);
}

/** Whether a value has all numbers of another, however deep. */
function isLike(value: unknown, shape: unknown): boolean {
  if (typeof shape === "number") return typeof value === "number" && value >= 0;
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(shape as object)
    .every(([name, part]) => isLike((value as Record<string, unknown>)[name], part));
}
