/** How fast experts reach the GPU: by its own reads of host memory, and by uploads. @module */
import { fillExperts, fillGrid, fillSizes, fillWords } from "../../shaders/moe_fill/moe_fill.ts";
import { STEP } from "../../shaders/common/step.ts";
import type { Gpu } from "../gpu/device.ts";
import { KernelCache } from "../gpu/kernel.ts";
import { GpuMemory } from "../gpu/memory.ts";
import { Program } from "../gpu/program.ts";
import { Readback, syncReadbackWorks } from "../gpu/readback.ts";

/** Bytes a second. */
export interface LinkRates {
  /** The GPU copies experts out of host memory. */
  readonly fill: number;
  /** The host hands experts to the queue. */
  readonly upload: number;
}

/** Bytes moved at a time: long enough to be timed, short enough for a start. */
const PROBE_BYTES = 64 * 2 ** 20;

/** Copies of these bytes in one submission. */
const ROUNDS = 4;

/** Pairs of measurements; the first of them, in which drivers compile and memory is touched, does not count. */
const PAIRS = 4;

/**
 * Measures both ways, turn by turn, with experts of `stride` bytes, `bytes` of them at a time; takes about a tenth of a
 * second on a real bus.
 */
export async function measureLink(
  gpu: Gpu,
  stride: number,
  bytes: number = PROBE_BYTES,
): Promise<LinkRates> {
  const { device } = gpu;
  const memory = new GpuMemory(gpu);
  const readback = await Readback.open(device, 16, syncReadbackWorks());
  try {
    const count = Math.max(1, Math.floor(Math.min(bytes, memory.maxBinding) / stride));
    const target = memory.storage("probe", "probe slots", count * stride);
    const fill = fillProgram(gpu, memory, { stride, count, target });
    const expert = new Uint8Array(stride);
    const timed = async (record: (pass: GPUComputePassEncoder) => void): Promise<number> => {
      const start = performance.now();
      const encoder = device.createCommandEncoder();
      const pass = encoder.beginComputePass();
      record(pass);
      pass.end();
      encoder.copyBufferToBuffer(target, 0, readback.target, 0, 16);
      device.queue.submit([encoder.finish()]);
      await readback.read(16);
      return (performance.now() - start) / 1000;
    };
    const upload = () => {
      for (let i = 0; i < ROUNDS * count; i++) {
        device.queue.writeBuffer(target, (i % count) * stride, expert);
      }
    };
    const seconds = { fill: [] as number[], upload: [] as number[] };
    for (let pair = 0; pair < PAIRS; pair++) {
      seconds.fill.push(
        await timed((pass) => {
          for (let i = 0; i < ROUNDS; i++) {
            fill.record(pass, { rows: count, segments: 1, headRows: 0, maxContext: 0 });
          }
        }),
      );
      seconds.upload.push(await timed(upload));
    }
    const rate = (times: readonly number[]) =>
      ROUNDS * count * stride / times.slice(1).toSorted((a, b) => a - b)[(PAIRS - 1) >> 1]!;
    return { fill: rate(seconds.fill), upload: rate(seconds.upload) };
  } finally {
    await readback.close();
    memory.destroy();
  }
}

/** Copies `count` experts from host memory to the slots of the same number. */
function fillProgram(
  { device }: Gpu,
  memory: GpuMemory,
  { stride, count, target }: {
    readonly stride: number;
    readonly count: number;
    readonly target: GPUBuffer;
  },
): Program {
  const program = new Program(device, new KernelCache(device));
  const fills = new Uint32Array(fillWords({ slots: count }));
  fills[0] = count;
  for (let i = 0; i < count; i++) fills.fill(i, 1 + 2 * i, 3 + 2 * i);
  const pair = { stride, firstPlace: 0, places: count, firstSlot: 0, slots: count };
  const shape = { experts: count, slots: count, topK: 1 };
  program.add(fillExperts(), {
    step: memory.storage("probe", "probe step", 4 * STEP.words),
    fills: memory.upload("probe", "probe fills", fills),
    source: memory.hostStorage("probe host", count * stride),
    slots: target,
    sizes: program.kernels.uniform(fillSizes(pair)),
  }, ({ rows }) => fillGrid(shape, stride, rows));
  return program;
}
