/** How much GPU memory may be planned with: WebGPU does not tell, so it is asked for or tried. @module */
import type { Gpu } from "../gpu/device.ts";
import { OptionError, parseVram } from "../options.ts";

const GIB = 2 ** 30;

/** A software adapter takes the machine's RAM: no more than this unless told so. */
const SOFTWARE_DEFAULT = 2 * GIB;

/** Drivers start to fail or spill to host memory close to the top of a card. */
const USABLE_SHARE = 0.94;

const PROBE_BLOCK = GIB / 2;

/**
 * The budget in bytes: what `vram` says, a share of what can be allocated, or all of it up to `need`.
 * @throws {OptionError} if `vram` is neither a size nor a percentage, or asks a software adapter for a share
 */
export async function readBudget(gpu: Gpu, vram: string | null, need: number): Promise<number> {
  const wanted = vram === null ? { share: 1 } : parseVram(vram);
  if ("bytes" in wanted) return wanted.bytes;
  if (gpu.software) {
    if (vram === null) return SOFTWARE_DEFAULT;
    throw new OptionError(
      `Cannot read --vram: found "${vram}" on a software adapter, wanted a size such as 8G`,
    );
  }
  const share = wanted.share * USABLE_SHARE;
  return Math.floor(share * await probe(gpu.device, need / share));
}

/** Allocates blocks until the device refuses or `limit` bytes are reached; frees them again. */
async function probe(device: GPUDevice, limit: number): Promise<number> {
  const size = Math.min(PROBE_BLOCK, device.limits.maxBufferSize);
  const blocks: GPUBuffer[] = [];
  while (blocks.length * size < limit) {
    device.pushErrorScope("out-of-memory");
    const block = device.createBuffer({ size, usage: GPUBufferUsage.STORAGE });
    if (await device.popErrorScope()) break;
    blocks.push(block);
  }
  for (const block of blocks) block.destroy();
  return blocks.length * size;
}
