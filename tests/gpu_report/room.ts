/** Whether a device can hold a budget: tried, because WebGPU does not say how large it is. @module */
import { openGpu } from "../../runtime/gpu/device.ts";

const BLOCK = 2 ** 30;
/** Share of the host's free memory that a software adapter may take. */
const SOFTWARE_SHARE = 0.7;

/** Why the device does not hold so many bytes; null if it does. */
export async function obstacleTo(bytes: number): Promise<string | null> {
  const gpu = await openGpu();
  try {
    if (gpu.software) return softwareObstacle(bytes);
    const block = Math.min(BLOCK, bytes, gpu.device.limits.maxBufferSize);
    const buffers: GPUBuffer[] = [];
    let refused = false;
    for (let got = 0; got < bytes && !refused; got += block) {
      gpu.device.pushErrorScope("out-of-memory");
      buffers.push(gpu.device.createBuffer({ size: block, usage: GPUBufferUsage.STORAGE }));
      refused = await gpu.device.popErrorScope() !== null;
    }
    for (const buffer of buffers) buffer.destroy();
    return refused ? "the card does not hold it" : null;
  } finally {
    gpu.device.destroy();
  }
}

function softwareObstacle(bytes: number): string | null {
  const { available } = Deno.systemMemoryInfo();
  return bytes <= SOFTWARE_SHARE * available ? null : "the host's memory does not hold it";
}

/** Throws the pages of every file out of memory. @throws {Error} if this user may not */
export function dropCaches(): void {
  try {
    Deno.writeTextFileSync("/proc/sys/vm/drop_caches", "3");
  } catch (error) {
    throw new Error(`the page cache cannot be emptied: ${(error as Error).message}`);
  }
}
