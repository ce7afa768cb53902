/** What the device does at most, and questions (b), (c), (e), (f), (h). @module */
import { median } from "../../runtime/median.ts";
import { openGpu } from "../../runtime/gpu/device.ts";
import { Program } from "../../runtime/gpu/program.ts";
import { KernelCache } from "../../runtime/gpu/kernel.ts";
import { Readback, syncReadbackWorks } from "../../runtime/gpu/readback.ts";
import { CHAIN, measureDevice } from "../../runtime/forecast/measure.ts";
import { measureKernels } from "../../runtime/forecast/measure_kernels.ts";
import { CHUNK } from "../../runtime/forecast/probe_model.ts";
import { noise, Stopwatch } from "../../runtime/forecast/stopwatch.ts";
import { decimal, digits, time } from "../../runtime/forecast/derived.ts";
import { addMatmul } from "../../runtime/model/linear.ts";
import type { Matrix } from "../../runtime/model/parts.ts";
import { fp8ToNumber } from "../../shaders/common/fp8.ts";
import { numberToBf16 } from "../../shaders/common/bf16.ts";
import { PRODUCT_VARIANTS, type ProductVariant } from "../../shaders/common/variants.ts";
import { stepBuffers } from "../step.ts";
import codes from "./codes.wgsl" with { type: "text" };
import type { Report } from "./finding.ts";
import loops from "./loops.wgsl" with { type: "text" };
import type { ReportOptions } from "./options.ts";

const PATIENCE = { sampleMs: 100, samples: 5 };
const READS = 200;

/** Bytes that rates are measured over: more than caches hold, less than a binding. */
export function measuredBytes(
  { bytes }: Pick<ReportOptions, "bytes">,
  { software, maxBinding }: { readonly software: boolean; readonly maxBinding: number },
): number {
  const wanted = bytes > 0 ? bytes : software ? 2 ** 25 : 2 ** 30;
  return Math.max(2 ** 23, Math.floor(Math.min(wanted, maxBinding) / 2 ** 23) * 2 ** 23);
}

/** Bandwidth, arithmetic and the dispatch floor, told first because the rest is compared with them. */
export async function reportLimits(
  report: Report,
  options: ReportOptions,
  kernels: string,
): Promise<void> {
  const gpu = await openGpu();
  const bytes = measuredBytes(options, gpu);
  const rates = await measureDevice(gpu, { ...PATIENCE, bytes });
  const line = (name: string, found: string, how: string, data: Record<string, number>) =>
    report({ section: "limits", name, found, how, data });
  line("memory, read", `${decimal(rates.read)}/s`, `a kernel that only reads ${decimal(bytes)}`, {
    read: rates.read,
  });
  line("arithmetic", `${decimal(rates.flops, "FLOP")}/s`, "f32 multiply-adds in registers", {
    flops: rates.flops,
  });
  line("upload", `${decimal(rates.upload)}/s`, "writeBuffer, 8 MiB at a time", {
    upload: rates.upload,
  });
  report({
    section: "questions",
    name: `(e) floor of a dispatch, ${CHAIN} dependent ones`,
    found: `${time(rates.dispatch)}, ${time(CHAIN * rates.dispatch)} for ${CHAIN}`,
    how: "one pass, one workgroup each, all on one buffer",
    data: { dispatch: rates.dispatch },
  });
  const watch = await Stopwatch.open(gpu, PATIENCE);
  await reportReadback(report, watch);
  await reportCodes(report, watch);
  await reportMatrices(report, watch, rates.read);
  await reportLoops(report, watch);
  await reportRates(report, watch, variantNamed(kernels));
  await watch.close();
  gpu.device.destroy();
}

/** The engine's own kernels, from which speeds are predicted. */
async function reportRates(
  report: Report,
  watch: Stopwatch,
  variant: ProductVariant | undefined,
): Promise<void> {
  const rates = await measureKernels(watch, variant);
  const { narrow, wide, experts, delta, attention, dispatch, token } = rates;
  const lines: [string, string, string][] = [
    ["FP8 matrices", `${decimal(narrow.one)}/s`, `one row; ${decimal(narrow.eight)}/s eight`],
    ["BF16 matrices", `${decimal(wide.one)}/s`, `one row; ${decimal(wide.eight)}/s eight`],
    ["experts", `${decimal(experts.one)}/s`, `one row; ${decimal(experts.several)}/s eight`],
    ["prompts", `${decimal(narrow.many, "FLOP")}/s`, `FP8 matrices with ${CHUNK} rows`],
    ["recurrent states", `${decimal(delta.step)}/s`, "read and written, one row"],
    ["attention", `${decimal(attention.decode)}/s`, "keys and values of 2,048 tokens, one row"],
    ["a dispatch among others", time(dispatch), "of a step of a very small model"],
    ["between steps", time(token), "read-back, writing the next step, submission"],
  ];
  lines.forEach(([name, found, how], i) =>
    report({
      section: "limits",
      name: `kernels: ${name}`,
      ...{ found, how },
      ...(i === 0 ? { data: { kernelRates: JSON.stringify(rates) } } : {}),
    })
  );
}

function variantNamed(name: string): ProductVariant | undefined {
  return PRODUCT_VARIANTS.find((variant) => variant.name === name);
}

async function reportReadback(report: Report, watch: Stopwatch): Promise<void> {
  const { device } = watch.gpu;
  const source = watch.buffer(256);
  const sync = syncReadbackWorks();
  const latencies = async (readback: Readback, count: number) => {
    const times: number[] = [];
    for (let i = 0; i < count; i++) {
      const start = performance.now();
      const encoder = device.createCommandEncoder();
      encoder.copyBufferToBuffer(source, 0, readback.target, 0, 16);
      device.queue.submit([encoder.finish()]);
      await readback.read(16);
      times.push((performance.now() - start) / 1000);
    }
    return times.sort((a, b) => a - b);
  };
  const awaited = await Readback.open(device, 256, false);
  const slow = await latencies(awaited, READS / 10);
  await awaited.close();
  const direct = await Readback.open(device, 256, sync);
  const fast = await latencies(direct, READS);
  await direct.close();
  report({
    section: "questions",
    name: "(b) read-back of a small result",
    found: `${time(median(fast))} in the median, ${time(fast[0]!)} at best; awaited ${
      time(median(slow))
    }`,
    how: `copy, submit, read; ${READS} times${
      sync ? ", not awaited" : ", awaited: not known here"
    }`,
    data: { median: median(fast), least: fast[0]!, awaited: median(slow), sync },
  });
}

async function reportCodes(report: Report, watch: Stopwatch): Promise<void> {
  const { device } = watch.gpu;
  const values = watch.buffer(3 * 256 * 4);
  const spec = {
    name: "codes",
    source: codes,
    bindings: { values: "read_write" },
    constants: {},
  } as const;
  watch.kernel(spec, { values }, [1, 1, 1])(1);
  const readback = await Readback.open(device, values.size, syncReadbackWorks());
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(values, 0, readback.target, 0, values.size);
  device.queue.submit([encoder.finish()]);
  const found = new Float32Array(await readback.read(values.size));
  await readback.close();
  const wrong = ["A2", "B2", "D"].map((name, way) => {
    const codes = Array.from({ length: 256 }, (_, code) => code)
      .filter((code) => (code & 0x7f) !== 0x7f && found[256 * way + code] !== fp8ToNumber(code));
    return { name, codes };
  });
  report({
    section: "questions",
    name: "(c) e4m3 codes by A2, B2 and D, subnormals among them",
    found: wrong.map(({ name, codes }) =>
      `${name} ${codes.length === 0 ? "exact" : `wrong for ${codes.length}: ${codes.slice(0, 6)}`}`
    ).join(", "),
    how: "all 254 finite codes; A2 by way of f32 subnormals, B2 by way of halves, D without either",
    data: Object.fromEntries(wrong.map(({ name, codes }) => [name, codes.length])),
  });
}

/** The two shapes that weigh most, through the engine's own product. */
async function reportMatrices(report: Report, watch: Stopwatch, read: number): Promise<void> {
  const shapes = [["8192 x 2048", 8192], ["9 x 1024 x 2048, experts' size", 9216]] as const;
  for (const [name, n] of shapes) {
    const { seconds, bytes } = await productSeconds(watch, n, 2048);
    report({
      section: "questions",
      name: `(f) FP8 product with one row, ${name}`,
      found: `${decimal(bytes / seconds)}/s, ${
        (100 * bytes / seconds / read).toFixed(0)
      } % of reading, ${time(seconds)}`,
      how: "the engine's kernel, on copies that no cache holds together",
      data: { rate: bytes / seconds, ofRead: bytes / seconds / read, seconds },
    });
  }
}

async function productSeconds(
  watch: Stopwatch,
  n: number,
  k: number,
): Promise<{ readonly seconds: number; readonly bytes: number }> {
  const { gpu: { device, software } } = watch;
  const copies = software ? 2 : 32;
  const scaleBytes = 2 * Math.ceil(n / 128) * (k / 128);
  // 0x38 is 1: no code is NaN.
  const words = noise(n * k / 4).map((word) => word & 0x3f3f3f3f);
  const scales = new Uint16Array(Math.ceil(scaleBytes / 16) * 8).fill(numberToBf16(0.01));
  const { step } = stepBuffers([{ rows: 1 }]);
  const io = {
    step: watch.buffer(step.byteLength),
    x: watch.buffer(4 * k),
    y: watch.buffer(4 * n),
  };
  device.queue.writeBuffer(io.step, 0, step);
  const program = new Program(device, new KernelCache(device));
  for (let copy = 0; copy < copies; copy++) {
    const slice = {
      firstRow: 0,
      rows: n,
      codes: watch.buffer(n * k),
      scales: watch.buffer(scales.byteLength),
    };
    device.queue.writeBuffer(slice.codes, 0, words);
    device.queue.writeBuffer(slice.scales, 0, scales);
    const matrix: Matrix = { format: "fp8", n, k, scaleRows: 128, slices: [slice] };
    addMatmul(program, "decode", io, matrix);
  }
  const shape = { rows: 1, segments: 1, headRows: 1, maxContext: 1 };
  const seconds = await watch.seconds((repeats) => {
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    for (let i = 0; i < repeats; i++) program.record(pass, shape);
    pass.end();
    device.queue.submit([encoder.finish()]);
  });
  return { seconds: seconds / copies, bytes: n * k + scaleBytes };
}

async function reportLoops(report: Report, watch: Stopwatch): Promise<void> {
  const [groups, rounds] = watch.gpu.software ? [64, 16] : [4096, 256];
  const ends = watch.buffer(groups * 64 * 4);
  const run = (unrolled: number) =>
    watch.seconds(watch.kernel(
      {
        name: "loops",
        source: loops,
        bindings: { ends: "read_write" },
        constants: { ROUNDS: rounds, UNROLLED: unrolled },
      },
      { ends },
      [groups, 1, 1],
    ));
  // Alternating, so that a machine that slows down meanwhile slows both.
  const [first, second] = [[await run(0), await run(1)], [await run(0), await run(1)]] as const;
  const [looped, unrolled] = [0, 1].map((i) => Math.min(first[i]!, second[i]!)) as [number, number];
  report({
    section: "questions",
    name: "(h) what bounding a loop costs",
    found: `a loop of one multiply-add takes ${
      digits(looped / unrolled)
    } times the time of sixteen`,
    how: `the same work: ${time(looped)} against ${time(unrolled)}`,
    data: { looped, unrolled },
  });
}
