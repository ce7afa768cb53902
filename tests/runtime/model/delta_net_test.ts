import { assertEquals, assertThrows } from "@std/assert";
import { KernelCache } from "../../../runtime/gpu/kernel.ts";
import { Program } from "../../../runtime/gpu/program.ts";
import { addDeltaNet, type DeltaNetParts, deltaScratch } from "../../../runtime/model/delta_net.ts";
import type { Phase } from "../../../runtime/model/parts.ts";
import { matmulNaive } from "../../../shaders/matmul/naive.ts";
import { causalConvNaive } from "../../../shaders/causal_conv/naive.ts";
import type { StepShape } from "../../../shaders/kernel_spec.ts";
import { assertClose } from "../../assert_close.ts";
import { gpu } from "../../gpu.ts";
import { pattern } from "../../pattern.ts";
import { placeMatrix } from "../../placed.ts";
import { deltaCase, deltaNaive, widths } from "../../shaders/delta_case.ts";
import { stepBuffers, type TestSegment } from "../../step.ts";

type Words = Float32Array<ArrayBuffer>;

const SHAPE = {
  keyHeads: 2,
  valueHeads: 6,
  keyDim: 16,
  valueDim: 32,
  convKernel: 4,
  hidden: 80,
};
const EPSILON = 1e-6;
const { channels, values, slot } = widths(SHAPE);
const convSlot = 4 * channels;
const SLOTS = 4;
const conv = pattern(channels * 4, 21);
const weights = deltaCase(0, SHAPE);
const gates = placeMatrix("bf16", { n: 2 * SHAPE.valueHeads, k: SHAPE.hidden }, 23);

/** Inputs of rows and the states of all slots. */
interface Given {
  readonly mixed: Words;
  readonly x: Words;
  readonly state: Words;
  readonly convState: Words;
}

interface Got {
  readonly out: Words;
  readonly state: Words;
  readonly convState: Words;
  readonly dispatches: number;
}

function given(rows: number): Given {
  return {
    mixed: pattern(rows * (channels + values), 31),
    x: pattern(rows * SHAPE.hidden, 32),
    state: pattern(SLOTS * slot, 33),
    convState: pattern(SLOTS * convSlot, 34),
  };
}

function cut({ mixed, x }: Given, from: number, to: number, { state, convState }: Got | Given) {
  const width = channels + values;
  return {
    mixed: mixed.slice(from * width, to * width),
    x: x.slice(from * SHAPE.hidden, to * SHAPE.hidden),
    state,
    convState,
  };
}

/** Runs one step of the mixer; `stopped` marks it as waiting for an expert. */
async function run(
  phase: Phase,
  list: readonly TestSegment[],
  input: Given,
  stopped = false,
): Promise<Got> {
  const { device } = await gpu();
  const made: GPUBuffer[] = [];
  const buffer = (data: Words | Uint32Array<ArrayBuffer>): GPUBuffer => {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
    const size = Math.max(16, Math.ceil(data.byteLength / 16) * 16);
    const created = device.createBuffer({ size, usage });
    device.queue.writeBuffer(created, 0, data);
    made.push(created);
    return created;
  };
  const step = stepBuffers(list);
  if (stopped) step.step[3] = 1;
  const rows = step.step[0]!;
  const none = buffer(new Uint32Array(4));
  const out = buffer(new Float32Array(rows * values).fill(NaN));
  const state = buffer(input.state);
  const convState = buffer(input.convState);
  const scratch = Object.fromEntries(
    Object.entries(deltaScratch(SHAPE, 64)).map(([name, size]) => [
      name,
      buffer(new Float32Array(size / 4).fill(NaN)),
    ]),
  );
  const parts = {
    steps: {
      step: buffer(step.step),
      rows: buffer(step.rows),
      segments: buffer(step.segments),
      pages: none,
      rope: none,
      heads: none,
    },
    scratch,
    weights: {
      ba: gates.matrix,
      conv: buffer(conv),
      aLog: buffer(weights.a_log),
      dtBias: buffer(weights.dt_bias),
      norm: buffer(weights.norm),
    },
    state: { state, conv: convState },
    shape: { ...SHAPE, epsilon: EPSILON },
  };
  const program = new Program(device, new KernelCache(device));
  device.pushErrorScope("validation");
  addDeltaNet(program, phase, parts, {
    mixed: buffer(input.mixed),
    x: buffer(input.x),
    norm: null,
    out,
  });
  const shape = { rows, segments: list.length, headRows: 0, maxContext: 0 };
  const { read, dispatches } = await record(device, program, shape, [out, state, convState]);
  for (const each of made) each.destroy();
  const [got, after, convAfter] = read;
  return { out: got!.slice(0, rows * values), state: after!, convState: convAfter!, dispatches };
}

/** Runs the program once and reads buffers back. */
async function record(
  device: GPUDevice,
  program: Program,
  shape: StepShape,
  buffers: readonly GPUBuffer[],
): Promise<{ read: Words[]; dispatches: number }> {
  const encoder = device.createCommandEncoder();
  const pass = encoder.beginComputePass();
  const dispatches = program.record(pass, shape);
  pass.end();
  const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
  const copies = buffers.map((from) => {
    const to = device.createBuffer({ size: from.size, usage });
    encoder.copyBufferToBuffer(from, 0, to, 0, from.size);
    return to;
  });
  device.queue.submit([encoder.finish()]);
  assertEquals(await device.popErrorScope(), null);
  await Promise.all(copies.map((copy) => copy.mapAsync(GPUMapMode.READ)));
  const read = copies.map((copy) => new Float32Array(copy.getMappedRange().slice(0)));
  for (const copy of copies) copy.destroy();
  return { read, dispatches };
}

/** The inputs before position `next` out of the ring of a slot, oldest first: [3, channels]. */
function beforeNext(ring: Words, next: number): Words {
  const before = new Float32Array(3 * channels);
  for (let j = 0; j < 3; j++) {
    const column = (next + 1 + j) % 4;
    before.set(ring.subarray(column * channels, (column + 1) * channels), j * channels);
  }
  return before;
}

/** One sequence in plain loops. */
function naive(
  { mixed, x }: Given,
  before: { readonly state: ArrayLike<number>; readonly convState: ArrayLike<number> } | null,
) {
  const convolved = causalConvNaive(
    { x: mixed, weight: conv, state: before?.convState ?? null },
    { channels, taps: 4, stride: channels + values },
  );
  const ba = Float32Array.from(matmulNaive(x, gates.dense, SHAPE.hidden));
  const c = { ...weights, mixed, ba, convolved: Float32Array.from(convolved.y) };
  return { ...deltaNaive(c, before?.state ?? null), convState: convolved.state };
}

const slotOf = (a: Words, i: number, size: number): Words => a.slice(i * size, (i + 1) * size);

for (
  const [phase, rows] of [["decode", 1], ["decode", 7], ["prefill", 17], ["prefill", 41]] as const
) {
  Deno.test(`addDeltaNet() of ${rows} rows in a ${phase} step matches naive`, async () => {
    const input = given(rows);
    const context = 6 + rows;
    const got = await run(phase, [{ rows, context, stateRead: 1, stateWrite: 2 }], input);
    const want = naive(input, {
      state: slotOf(input.state, 1, slot),
      convState: beforeNext(slotOf(input.convState, 1, convSlot), context),
    });
    // f32 throughout, products of up to three sums.
    assertClose("out", got.out, want.out, 4e-6);
    assertClose("state", slotOf(got.state, 2, slot), want.state, 4e-6);
    const after = beforeNext(slotOf(got.convState, 2, convSlot), context + rows);
    assertClose("conv", after, want.convState, 0);
    for (const kept of [0, 1, 3]) {
      assertEquals(slotOf(got.state, kept, slot), slotOf(input.state, kept, slot));
      assertEquals(
        slotOf(got.convState, kept, convSlot),
        slotOf(input.convState, kept, convSlot),
      );
    }
    assertEquals(got.dispatches, rows === 1 ? 1 : phase === "decode" ? 2 : 5);
  });
}

Deno.test("addDeltaNet() gives a segment the same bits beside others as alone, in either phase", async () => {
  const counts = [1, 20, 3, 16];
  const input = given(40);
  const list = counts.map((rows, i) => ({ rows, stateRead: i, stateWrite: i }));
  const all = await run("prefill", list, input);
  let first = 0;
  for (const [i, rows] of counts.entries()) {
    const phase = rows > 16 ? "prefill" : "decode";
    const one = await run(phase, [list[i]!], cut(input, first, first + rows, input));
    assertEquals(one.out, all.out.slice(first * values, (first + rows) * values));
    assertEquals(slotOf(one.state, i, slot), slotOf(all.state, i, slot));
    assertEquals(slotOf(one.convState, i, convSlot), slotOf(all.convState, i, convSlot));
    first += rows;
  }
});

Deno.test("addDeltaNet(): a prompt and then single rows equal a longer prompt", async () => {
  const input = given(36);
  const inPlace = { stateRead: 0, stateWrite: 0 };
  const whole = await run("prefill", [{ rows: 36, stateWrite: 0 }], input);
  let state = await run("prefill", [{ rows: 33, stateWrite: 0 }], cut(input, 0, 33, input));
  for (let row = 33; row < 36; row++) {
    const segment = { rows: 1, context: row, ...inPlace };
    state = await run("decode", [segment], cut(input, row, row + 1, state));
    assertClose("out", state.out, whole.out.slice(row * values, (row + 1) * values), 4e-6);
  }
  assertClose("state", slotOf(state.state, 0, slot), slotOf(whole.state, 0, slot), 4e-6);
});

Deno.test("addDeltaNet(): single rows, in place or from slot to slot, equal a segment of several, bit for bit", async () => {
  const input = given(6);
  const whole = await run("decode", [{ rows: 6, stateWrite: 0 }], input);
  const slots = [1, 2, 2, 0, 3, 3];
  let state: Given | Got = input;
  for (const [row, stateWrite] of slots.entries()) {
    const read = row === 0 ? {} : { stateRead: slots[row - 1]! };
    const segment = { rows: 1, context: row, ...read, stateWrite };
    const got: Got = await run("decode", [segment], cut(input, row, row + 1, state));
    assertEquals(got.out, whole.out.slice(row * values, (row + 1) * values));
    assertEquals(
      beforeNext(slotOf(got.convState, stateWrite, convSlot), row + 1).slice(-channels),
      input.mixed.slice(row * (channels + values), row * (channels + values) + channels),
    );
    state = got;
  }
  assertEquals(slotOf(state.state, 3, slot), slotOf(whole.state, 0, slot));
  assertEquals(
    beforeNext(slotOf(state.convState, 3, convSlot), 6),
    beforeNext(slotOf(whole.convState, 0, convSlot), 6),
  );
});

Deno.test("addDeltaNet() refuses gates that are not one bf16 matrix", async () => {
  const { device } = await gpu();
  const program = new Program(device, new KernelCache(device));
  const { matrix } = placeMatrix("fp8", { n: 128, k: 16 });
  const scratch = { convolved: gates.matrix.slices[0]!.codes };
  const parts = { steps: {}, scratch, weights: { ba: matrix }, state: {}, shape: SHAPE };
  assertThrows(
    () => addDeltaNet(program, "decode", parts as unknown as DeltaNetParts, {} as never),
    TypeError,
  );
});

Deno.test("addDeltaNet() starts a recycled slot from zeros", async () => {
  const input = given(4);
  input.state.fill(NaN);
  input.convState.fill(NaN);
  const got = await run("decode", [{ rows: 4, stateWrite: 3 }], input);
  const want = naive(input, null);
  assertClose("out", got.out, want.out, 4e-6);
  assertClose("state", slotOf(got.state, 3, slot), want.state, 4e-6);
});

Deno.test("addDeltaNet() does nothing in a step that has stopped", async () => {
  const input = given(20);
  const list = [{ rows: 17, stateRead: 0, stateWrite: 0 }, { rows: 3, stateWrite: 1 }];
  const got = await run("prefill", list, input, true);
  assertEquals(got.out.every(Number.isNaN), true);
  assertEquals(got.state, input.state);
  assertEquals(got.convState, input.convState);
});

Deno.test("addDeltaNet() names the scratch buffer that is missing", async () => {
  const { device } = await gpu();
  const program = new Program(device, new KernelCache(device));
  const parts = { steps: {}, scratch: {}, weights: {}, state: {}, shape: { ...SHAPE, epsilon: 1 } };
  assertThrows(
    () => addDeltaNet(program, "decode", parts as unknown as DeltaNetParts, {} as never),
    TypeError,
    '"convolved" is missing',
  );
});
