/** The machine that a server runs on, as a forecast sees it. @module */
import { ASSUMED, type Device } from "./devices.ts";
import type { Rates } from "./measure.ts";

/** What was measured of the device. */
export interface MeasuredDevice {
  readonly rates: Rates;
  /** Largest storage binding, bytes. */
  readonly maxBinding: number;
  /** Whether shaders run on the CPU. */
  readonly software: boolean;
}

/** A device by its measured rates and the memory that is planned with. */
export function ownDevice(
  name: string,
  budget: number,
  { rates, software }: Pick<MeasuredDevice, "rates" | "software">,
  ram: number | null = null,
): Device {
  return {
    ...ASSUMED,
    name,
    vram: budget,
    usable: 1,
    bandwidth: rates.read,
    link: rates.upload,
    // Whatever the host reads has to go through the same copy.
    host: Math.min(ASSUMED.host, rates.upload),
    ram,
    flops: rates.flops,
    dispatch: rates.dispatch,
    kernels: rates.kernels,
    software,
  };
}

/** Memory of the host, bytes; null where Deno may not tell. */
export function hostMemory(): number | null {
  try {
    return Deno.systemMemoryInfo().total;
  } catch {
    return null;
  }
}

/** What to measure, and where it may be remembered. */
export interface MeasureRequest {
  /** Folder that an earlier measurement may lie in, and that this one goes to; null neither reads nor writes. */
  readonly cacheDir: string | null;
  /** Variant of the matrix kernels; null: the device's usual one. */
  readonly kernels: string | null;
}

/**
 * Measures the device in a worker: a read-back blocks its thread.
 * @throws {Error} if no device can be opened
 */
export function measureHere(request: MeasureRequest): Promise<MeasuredDevice> {
  const worker = new Worker(new URL("./measure_worker.ts", import.meta.url), { type: "module" });
  return new Promise<MeasuredDevice>((resolve, reject) => {
    worker.onmessage = ({ data }: MessageEvent<MeasuredDevice | { readonly error: string }>) =>
      "error" in data ? reject(new Error(data.error)) : resolve(data);
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
    worker.postMessage(request);
  });
}
