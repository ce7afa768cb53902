import { assertEquals, assertThrows } from "@std/assert";
import { KernelCache } from "../../../runtime/gpu/kernel.ts";
import { Program } from "../../../runtime/gpu/program.ts";
import {
  addAttention,
  attentionScratch,
  type AttentionSizes,
} from "../../../runtime/model/attention.ts";
import {
  type KvFormat,
  PAGE_TOKENS,
  type Phase,
  type StepBuffers,
} from "../../../runtime/model/parts.ts";
import { attentionNaive } from "../../../shaders/attention/naive.ts";
import { KV_FORMATS } from "../../../shaders/common/kv_format.ts";
import { qkPrepareNaive } from "../../../shaders/qk_prepare/naive.ts";
import { assertClose } from "../../assert_close.ts";
import { gpu } from "../../gpu.ts";
import { pattern } from "../../pattern.ts";
import { stepBuffers, type TestSegment } from "../../step.ts";

const sizes: AttentionSizes = { heads: 4, kvHeads: 2, headDim: 32, rotaryDim: 8, epsilon: 1e-6 };
const ROW = 2 * (sizes.heads + sizes.kvHeads) * sizes.headDim;
const OUT = sizes.heads * sizes.headDim;
const MAX_ROWS = 64;
const MAX_CONTEXT = 512;
const PAGES = new Uint32Array([6, 1, 4, 9, 3, 0, 7, 5]);

type Words = Float32Array<ArrayBuffer> | Uint32Array<ArrayBuffer>;

const weights = { qNorm: pattern(sizes.headDim, 1), kNorm: pattern(sizes.headDim, 2) };

/** A mixer with two arenas that runs steps one after another. */
class Mixer {
  readonly #device: GPUDevice;
  readonly #buffers = new Map<string, GPUBuffer>();
  readonly #programs: Readonly<Record<Phase, Program>>;

  constructor(device: GPUDevice, format: KvFormat) {
    this.#device = device;
    const kernels = new KernelCache(device);
    const scratch: Record<string, GPUBuffer> = {};
    for (const [name, bytes] of Object.entries(attentionScratch(sizes, MAX_ROWS, MAX_CONTEXT))) {
      scratch[name] = this.#buffer(name, bytes);
    }
    const page = sizes.kvHeads * PAGE_TOKENS * sizes.headDim * KV_FORMATS[format].elementBytes;
    const arenas = [0, 1].map((arena) => ({
      k: this.#buffer(`k${arena}`, 10 * page),
      v: this.#buffer(`v${arena}`, 10 * page),
    }));
    const names = ["step", "rows", "segments", "pages", "rope", "heads"] as const;
    const steps = Object.fromEntries(
      names.map((name) => [name, this.#buffer(name, 8192)]),
    ) as Record<typeof names[number], GPUBuffer> satisfies StepBuffers;
    const parts = {
      sizes,
      maxContext: MAX_CONTEXT,
      steps,
      scratch,
      weights: { qNorm: this.#buffer("qNorm", 256), kNorm: this.#buffer("kNorm", 256) },
      arenas,
      kvFormat: format,
      qkv: this.#buffer("qkv", MAX_ROWS * ROW * 4),
      out: this.#buffer("out", MAX_ROWS * OUT * 4),
    };
    this.#programs = {
      decode: new Program(device, kernels),
      prefill: new Program(device, kernels),
    };
    for (const phase of ["decode", "prefill"] as const) {
      addAttention(this.#programs[phase], phase, parts);
    }
    this.#write("qNorm", weights.qNorm);
    this.#write("kNorm", weights.kNorm);
    this.#write("pages", PAGES);
  }

  async run(phase: Phase, segments: readonly TestSegment[], qkv: Words, rope: Words) {
    const { step, rows, segments: list } = stepBuffers(segments);
    for (const [name, words] of Object.entries({ step, rows, segments: list, qkv, rope })) {
      this.#write(name, words);
    }
    const maxContext = Math.max(...segments.map((s) => (s.context ?? 0) + s.rows));
    const shape = { rows: step[0]!, segments: segments.length, headRows: 0, maxContext };
    const encoder = this.#device.createCommandEncoder();
    const pass = encoder.beginComputePass();
    this.#programs[phase].record(pass, shape);
    pass.end();
    const size = shape.rows * OUT * 4;
    const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
    const copy = this.#device.createBuffer({ size, usage });
    encoder.copyBufferToBuffer(this.#buffers.get("out")!, 0, copy, 0, size);
    this.#device.queue.submit([encoder.finish()]);
    await copy.mapAsync(GPUMapMode.READ);
    return new Float32Array(copy.getMappedRange().slice(0));
  }

  #buffer(name: string, size: number): GPUBuffer {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const buffer = this.#device.createBuffer({ label: name, size, usage });
    // Everything starts as NaN: what was never written must not be read.
    this.#device.queue.writeBuffer(buffer, 0, new Uint32Array(size / 4).fill(0x7fff7fff));
    this.#buffers.set(name, buffer);
    return buffer;
  }

  #write(name: string, words: Words): void {
    this.#device.queue.writeBuffer(this.#buffers.get(name)!, 0, words);
  }
}

/** Inputs of `tokens` tokens, and what the mixer should make of them. */
function sequence(tokens: number, salt: number) {
  const qkv = pattern(tokens * ROW, salt);
  const rope = Float32Array.from(
    { length: tokens * sizes.rotaryDim },
    (_, i) => i % 2 ? Math.sin(salt + i) : Math.cos(salt + i + 1),
  );
  const want = attentionNaive(qkPrepareNaive(qkv, { ...weights, rope }, sizes), sizes);
  const rows = (from: number, to: number) => ({
    qkv: qkv.subarray(from * ROW, to * ROW),
    rope: rope.subarray(from * sizes.rotaryDim, to * sizes.rotaryDim),
    want: want.subarray(from * OUT, to * OUT),
  });
  return rows;
}

function joined(...parts: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

/** Largest relative RMS: f32 sums throughout, or keys and values of 11 bits. */
const RATIOS: readonly (readonly [format: KvFormat, ratio: number])[] = [["f32", 2e-6], [
  "f16",
  1e-3,
]];

for (const [format, ratio] of RATIOS) {
  Deno.test(`addAttention() of ${format} matches naive over chunks and decoded tokens of two sequences`, async () => {
    const { device } = await gpu();
    device.pushErrorScope("validation");
    const mixer = new Mixer(device, format);
    const a = sequence(103, 5);
    const b = sequence(42, 6);
    let rows = a(0, 33);
    let got = await mixer.run("prefill", [{ rows: 33 }], rows.qkv, rows.rope);
    assertClose("first chunk", got, rows.want, ratio);
    rows = a(33, 97);
    got = await mixer.run("prefill", [{ rows: 64, context: 33 }], rows.qkv, rows.rope);
    assertClose("second chunk", got, rows.want, ratio);
    rows = a(97, 98);
    const chunk = b(0, 40);
    got = await mixer.run(
      "prefill",
      [{ rows: 1, context: 97 }, { rows: 40, arena: 1, pageTable: 4 }],
      joined(rows.qkv, chunk.qkv),
      joined(rows.rope, chunk.rope),
    );
    assertClose("mixed step, decoded row", got, rows.want, ratio);
    assertClose("mixed step, chunk", got.subarray(OUT), chunk.want, ratio);
    // Several rows of one sequence, as when a draft is verified.
    rows = a(98, 103);
    const two = b(40, 42);
    got = await mixer.run(
      "decode",
      [{ rows: 2, context: 40, arena: 1, pageTable: 4 }, { rows: 5, context: 98 }],
      joined(two.qkv, rows.qkv),
      joined(two.rope, rows.rope),
    );
    assertClose("decoded, arena 1", got, two.want, ratio);
    assertClose("decoded, arena 0", got.subarray(2 * OUT), rows.want, ratio);
    assertEquals(await device.popErrorScope(), null);
  });
}

Deno.test("addAttention() names the scratch buffer it lacks", async () => {
  const { device } = await gpu();
  const program = new Program(device, new KernelCache(device));
  const parts = { sizes, maxContext: 1, scratch: {}, arenas: [], steps: {}, weights: {} };
  assertThrows(
    () => addAttention(program, "decode", parts as never),
    TypeError,
    '"attentionQuery" is missing',
  );
});
