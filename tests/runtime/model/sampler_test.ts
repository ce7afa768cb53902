import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import type { SamplingOptions } from "../../../runtime/contract.ts";
import { KernelCache } from "../../../runtime/gpu/kernel.ts";
import { Program } from "../../../runtime/gpu/program.ts";
import type { Scratch, StepBuffers } from "../../../runtime/model/parts.ts";
import {
  addSampler,
  packSampler,
  readSample,
  SAMPLE_BYTES,
  samplerScratch,
  type SamplerSlot,
  writeSamplerSlot,
} from "../../../runtime/model/sampler.ts";
import { OPTIONS } from "../../../shaders/sampler/layout.ts";
import { gpu } from "../../gpu.ts";
import { pattern } from "../../pattern.ts";
import { stepBuffers } from "../../step.ts";

const sizes = { vocab: 2500, slots: 3, maxHeadRows: 4 };

const greedy: SamplingOptions = {
  temperature: 0,
  topP: 1,
  topK: 0,
  minP: 0,
  presencePenalty: 0,
  frequencyPenalty: 0,
  repetitionPenalty: 1,
  seed: 5,
  logitBias: [],
};

/** A slot's value with `sampling` changed. */
function slot(sampling: Partial<SamplingOptions>, rest: Partial<SamplerSlot> = {}): SamplerSlot {
  return {
    sampling: { ...greedy, ...sampling },
    realVocab: 2400,
    top: 0,
    prompt: [],
    generated: [],
    ...rest,
  };
}

/** The ids of `logits`, highest first. */
function ranked(logits: Float32Array, real = 2400): number[] {
  return [...logits.keys()].slice(0, real).sort((a, b) => logits[b]! - logits[a]! || a - b);
}

/** A sampler with its buffers. */
async function openSampler() {
  const { device } = await gpu();
  const buffer = (size: number) =>
    device.createBuffer({
      size,
      usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC,
    });
  const scratch: Scratch = Object.fromEntries(
    Object.entries(samplerScratch(sizes)).map(([name, bytes]) => [name, buffer(bytes)]),
  );
  const names = ["step", "rows", "segments", "pages", "rope", "heads"] as const;
  const steps = Object.fromEntries(
    names.map((name) => [name, buffer(256)]),
  ) as Record<typeof names[number], GPUBuffer> satisfies StepBuffers;
  const logits = buffer(4 * sizes.vocab * sizes.maxHeadRows);
  const program = new Program(device, new KernelCache(device));
  addSampler(program, { sizes, steps, scratch, logits });
  /** Samples one row a sequence: `slots` name each sequence's slot. */
  async function run(values: Float32Array<ArrayBuffer>, slots: readonly number[], position = 0) {
    const list = slots.map((sampler) => ({ rows: 1, context: position, sampler }));
    const { step, rows, segments } = stepBuffers(list);
    device.queue.writeBuffer(steps.step, 0, step);
    device.queue.writeBuffer(steps.rows, 0, rows);
    device.queue.writeBuffer(steps.segments, 0, segments);
    device.queue.writeBuffer(steps.heads, 0, Uint32Array.from(slots, (_, i) => i));
    slots.forEach((_, i) => device.queue.writeBuffer(logits, i * values.byteLength, values));
    const encoder = device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    program.record(pass, {
      rows: slots.length,
      segments: slots.length,
      headRows: slots.length,
      maxContext: position + 1,
    });
    pass.end();
    const size = slots.length * SAMPLE_BYTES;
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const copy = device.createBuffer({ size, usage });
    encoder.copyBufferToBuffer(scratch.samples!, 0, copy, 0, size);
    device.queue.submit([encoder.finish()]);
    await copy.mapAsync(GPUMapMode.READ);
    const bytes = copy.getMappedRange().slice(0);
    return slots.map((_, i) => readSample(bytes, i));
  }
  const write = (index: number, value: SamplerSlot) =>
    writeSamplerSlot(device.queue, { sizes, scratch, slot: index }, value);
  return { run, write, program, queue: device.queue, scratch };
}

Deno.test("addSampler() counts what it drew without help from the host", async () => {
  const { run, write, program } = await openSampler();
  assertEquals(program.length, 4);
  const logits = pattern(sizes.vocab, 3);
  write(2, slot({ presencePenalty: 10 }, { prompt: [1], generated: [ranked(logits)[1]!] }));
  const ids: number[] = [];
  for (let position = 0; position < 4; position++) {
    ids.push((await run(logits, [2], position))[0]!.id);
  }
  const [first, , ...others] = ranked(logits);
  assertEquals(ids, [first, ...others.slice(0, 3)]);
});

Deno.test("addSampler() gives each sequence the options of its slot", async () => {
  const { run, write } = await openSampler();
  const logits = pattern(sizes.vocab, 4);
  const [best, second] = ranked(logits);
  write(0, slot({}, { top: 2 }));
  write(1, slot({ logitBias: [[17, 50], [best!, -100]] }));
  write(2, slot({ repetitionPenalty: 4 }, { prompt: [best!] }));
  const [plain, biased, penalised] = await run(logits, [0, 1, 2]);
  assertEquals(plain!.id, best);
  assertEquals(plain!.top.map((t) => t.id), [best, second]);
  assertEquals(plain!.top[0]!.logprob, plain!.logprob);
  assertEquals(plain!.nan, false);
  assertEquals(biased!.id, 17);
  assertEquals(biased!.top, []);
  assertEquals(penalised!.id, second);
  const total = Math.log(logits.reduce((sum, x) => sum + Math.exp(x), 0));
  assertAlmostEquals(biased!.logprob, logits[17]! - total, 1e-5);
});

Deno.test("writeSamplerSlot() clears what an earlier sequence left in the slot", async () => {
  const { run, write } = await openSampler();
  const logits = pattern(sizes.vocab, 5);
  const [best] = ranked(logits);
  write(0, slot({ presencePenalty: 10, logitBias: [[3, 100]] }, { generated: [best!] }));
  assertEquals((await run(logits, [0]))[0]!.id, 3);
  write(0, slot({ presencePenalty: 10, logitBias: [[4, -1]] }));
  assertEquals((await run(logits, [0]))[0]!.id, best);
});

Deno.test("addSampler() reports forced ids, and NaN", async () => {
  const { run, write, queue, scratch } = await openSampler();
  const logits = pattern(sizes.vocab, 6);
  write(1, slot({}, { top: 20 }));
  queue.writeBuffer(scratch.forced!, 0, new Uint32Array([0, 1 + 42]));
  const [drawn, forced] = await run(logits, [1, 1]);
  assertEquals([drawn!.id, forced!.id], [ranked(logits)[0], 42]);
  assertEquals(forced!.top, drawn!.top);
  assertEquals(forced!.top.length, 20);
  assert(forced!.logprob < drawn!.logprob);
  logits[2450] = NaN;
  assertEquals((await run(logits, [1]))[0]!.nan, true);
});

Deno.test("packSampler() makes the lowest temperatures greedy and leaves tables alone that change nothing", () => {
  const words = packSampler(slot({ temperature: 1e-9 }, { top: 50 }));
  assertEquals(words[OPTIONS.temperature], 0);
  assertEquals(words[OPTIONS.flags], 0);
  assertEquals(words[OPTIONS.top], 20);
  assertEquals(packSampler(slot({ frequencyPenalty: -1 }))[OPTIONS.flags], 1);
  assertEquals(packSampler(slot({ logitBias: [[1, 1]] }))[OPTIONS.flags], 2);
  assertEquals(packSampler(slot({ seed: 2 ** 32 - 1 }))[OPTIONS.seed], 2 ** 32 - 1);
});

Deno.test("addSampler() names the buffer it lacks", () => {
  const parts = { sizes, steps: {}, scratch: {}, logits: {} };
  assertThrows(
    () => addSampler({} as never, parts as never),
    TypeError,
    '"samplerOptions" is missing',
  );
});
