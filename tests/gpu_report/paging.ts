/** The three ways that an expert can come to the device, and questions (d) and (g). @module */
import { openGpu } from "../../runtime/gpu/device.ts";
import { decimal, percent, time } from "../../runtime/forecast/derived.ts";
import { fillWords, noise, Stopwatch } from "../../runtime/forecast/stopwatch.ts";
import { size } from "../../runtime/plan.ts";
import { multiplyProbe, readProbe } from "../../shaders/probe/probe.ts";
import type { Report } from "./finding.ts";
import { measuredBytes } from "./limits.ts";
import type { ReportOptions } from "./options.ts";

const PATIENCE = { sampleMs: 100, samples: 3 };
/** Bytes of an FP8 expert of 35B-A3B: what is copied at a time. */
const EXPERT = 3_146_240;
const HOST_BLOCK = 2 ** 29;

/** Times every way over the same bytes. */
export async function reportPaging(report: Report, options: ReportOptions): Promise<void> {
  const gpu = await openGpu();
  // Host memory that the device sees is pinned: a quarter is enough for a rate.
  const bytes = Math.max(2 ** 23, measuredBytes(options, gpu) / 4);
  const watch = await Stopwatch.open(gpu, PATIENCE);
  const target = watch.buffer(bytes);
  await reportWrites(report, watch, target);
  await reportStaging(report, watch, target);
  if (gpu.hostStorage) await reportHostReads(report, watch, bytes);
  else {
    report({
      section: "questions",
      name: "(d) kernels that read the host's memory",
      found: "not possible: the device refuses storage buffers that can be mapped",
    });
  }
  await reportStall(report, watch, target);
  await watch.close();
  if (gpu.hostStorage) await reportHostPool(report, gpu.device, options.hostPool);
  gpu.device.destroy();
}

async function reportWrites(report: Report, watch: Stopwatch, target: GPUBuffer): Promise<void> {
  const { device } = watch.gpu;
  const words = noise(EXPERT / 4);
  const seconds = await watch.seconds((repeats) => {
    for (let i = 0; i < repeats; i++) fillWords(device.queue, target, words);
  });
  report({
    section: "paging",
    name: "1. writeBuffer from the host's heap",
    found: `${decimal(target.size / seconds)}/s, ${time(seconds * EXPERT / target.size)} an expert`,
    how: `${decimal(target.size)} in pieces of an expert; what paging by the host does`,
    data: { rate: target.size / seconds },
  });
}

async function reportStaging(report: Report, watch: Stopwatch, target: GPUBuffer): Promise<void> {
  const { device } = watch.gpu;
  const staging = watch.buffer(target.size, GPUBufferUsage.MAP_WRITE | GPUBufferUsage.COPY_SRC);
  const words = noise(2 ** 21);
  const start = performance.now();
  await staging.mapAsync(GPUMapMode.WRITE);
  const range = new Uint32Array(staging.getMappedRange());
  for (let at = 0; at < range.length; at += words.length) {
    range.set(words.subarray(0, range.length - at), at);
  }
  staging.unmap();
  const filling = (performance.now() - start) / 1000;
  const copying = await watch.seconds((repeats) => {
    const encoder = device.createCommandEncoder();
    for (let i = 0; i < repeats; i++) {
      encoder.copyBufferToBuffer(staging, 0, target, 0, target.size);
    }
    device.queue.submit([encoder.finish()]);
  });
  report({
    section: "paging",
    name: "2. copy from a staging buffer",
    found: `${decimal(target.size / copying)}/s; filling it once ${
      decimal(target.size / filling)
    }/s`,
    how: "copyBufferToBuffer out of memory that the host has mapped, written and unmapped",
    data: { rate: target.size / copying, fill: target.size / filling },
  });
}

async function reportHostReads(report: Report, watch: Stopwatch, bytes: number): Promise<void> {
  const { STORAGE, MAP_WRITE, COPY_SRC } = GPUBufferUsage;
  const { gpu: { device } } = watch;
  const data = watch.buffer(bytes, STORAGE | MAP_WRITE);
  await data.mapAsync(GPUMapMode.WRITE);
  new Uint32Array(data.getMappedRange()).set(noise(2 ** 21));
  data.unmap();
  const probe = readProbe(bytes);
  const sums = watch.buffer(probe.outputBytes, STORAGE | COPY_SRC);
  const seconds = await watch.seconds(watch.kernel(probe.spec, { data, sums }, probe.grid));
  const found = `${decimal(bytes / seconds)}/s, ${time(seconds * EXPERT / bytes)} an expert`;
  report({
    section: "paging",
    name: "3. kernel that reads the host's memory",
    found,
    how: "a storage buffer that can be mapped; what paging by the device itself would reach",
    data: { rate: bytes / seconds },
  });
  report({
    section: "questions",
    name: "(d) kernels that read the host's memory",
    found,
    how: `${device.adapterInfo.description || "the device"} over ${decimal(bytes)}`,
    data: { rate: bytes / seconds },
  });
}

async function reportHostPool(report: Report, device: GPUDevice, most: number): Promise<void> {
  const { STORAGE, MAP_READ } = GPUBufferUsage;
  const block = Math.min(HOST_BLOCK, most, device.limits.maxBufferSize);
  const buffers: GPUBuffer[] = [];
  let refused = "";
  while ((buffers.length + 1) * block <= most) {
    device.pushErrorScope("out-of-memory");
    buffers.push(device.createBuffer({ size: block, usage: STORAGE | MAP_READ }));
    const error = await device.popErrorScope();
    if (error) {
      refused = error.message;
      break;
    }
  }
  const got = (buffers.length - (refused === "" ? 0 : 1)) * block;
  for (const buffer of buffers) buffer.destroy();
  report({
    section: "questions",
    name: "(d) host memory that the device sees at once",
    found: refused === "" ? `at least ${size(got)}` : `${size(got)}, then: ${refused}`,
    how: `in buffers of ${size(block)}, at most ${size(most)} tried (--host-pool)`,
    data: { bytes: got, refused: refused !== "" },
  });
}

/** Whether copies run beside kernels: both alone, then in turn within the same time. */
async function reportStall(report: Report, watch: Stopwatch, target: GPUBuffer): Promise<void> {
  const { device, software } = watch.gpu;
  const words = noise(EXPERT / 4);
  const [groups, rounds] = software ? [64, 64] : [4096, 2048];
  const probe = multiplyProbe(groups, rounds);
  const compute = watch.kernel(
    probe.spec,
    { ends: watch.buffer(probe.outputBytes) },
    probe.grid,
  );
  const copy = (repeats: number) => {
    for (let i = 0; i < repeats; i++) device.queue.writeBuffer(target, 0, words);
  };
  const kernel = await watch.seconds(compute);
  // As many copies as take about as long as the kernel, a submission after each.
  const one = await watch.seconds((repeats) => copy(repeats), 8);
  const copies = Math.max(1, Math.round(kernel / one));
  const alone = await watch.seconds((repeats) => copy(repeats * copies));
  const both = await watch.seconds((repeats) => {
    for (let i = 0; i < repeats; i++) {
      compute(1);
      copy(copies);
    }
  });
  const hidden = Math.max(0, Math.min(1, (kernel + alone - both) / Math.min(kernel, alone)));
  report({
    section: "questions",
    name: "(g) whether copies stall kernels",
    found: `${percent(hidden)} of the shorter one is hidden behind the longer`,
    how: `kernel ${time(kernel)}, ${copies} copies ${time(alone)}, in turn ${time(both)}`,
    data: { kernel, copies: alone, both, hidden },
  });
}
