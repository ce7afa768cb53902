import { assert, assertEquals, assertThrows } from "@std/assert";
import { ExpertPager } from "../../runtime/experts/pager.ts";
import { NONE, STEP } from "../../shaders/common/step.ts";
import {
  fillExperts,
  fillGrid,
  type FillShape,
  fillSizes,
  fillWords,
  resolveExperts,
  resolveSizes,
  resolveState,
  wavesOf,
} from "../../shaders/moe_fill/moe_fill.ts";
import { NaiveSlots, type NaiveWave } from "../../shaders/moe_fill/naive.ts";
import { runKernel } from "../gpu.ts";
import { newProgram, place, read, run, write } from "../placed.ts";
import { stepBuffers } from "../step.ts";

const MOST_ROWS = 24;

async function words(buffer: GPUBuffer, count: number): Promise<number[]> {
  return [...new Uint32Array((await read(buffer, count)).slice().buffer)];
}

/** One layer on the GPU, its waves one at a time so that each can be looked at. */
class Layer {
  readonly #shape: FillShape;
  readonly #ids: GPUBuffer;
  readonly #step = place(new Uint32Array(STEP.words));
  readonly #table: GPUBuffer;
  readonly #fills: GPUBuffer;
  readonly #counters = place(new Uint32Array(4));
  readonly #state: GPUBuffer;
  readonly #waves;

  constructor(shape: FillShape, places: readonly number[], sharedSlot: number | null) {
    this.#shape = shape;
    this.#ids = place(MOST_ROWS * (shape.topK + 1));
    this.#table = place(shape.experts + 1);
    this.#fills = place(fillWords(shape));
    this.#state = place(resolveState(shape));
    this.#waves = Array.from({ length: wavesOf(shape, MOST_ROWS) }, (_, wave) => {
      const program = newProgram();
      program.add(resolveExperts(shape), {
        step: this.#step,
        ids: this.#ids,
        places: place(Uint32Array.from([...places, NONE])),
        table: this.#table,
        state: this.#state,
        fills: this.#fills,
        counters: this.#counters,
        sizes: program.kernels.uniform(resolveSizes(wave, sharedSlot)),
      }, () => [1, 1, 1]);
      return program;
    });
  }

  /** Runs a step's waves; stopped ones must change nothing. */
  async step(ids: readonly number[], stopped = 0): Promise<NaiveWave[]> {
    const { topK, experts } = this.#shape;
    const rows = ids.length / (topK + 1);
    const { step } = stepBuffers([{ rows }]);
    step[STEP.stopped] = stopped;
    write(this.#step, step);
    write(this.#ids, Uint32Array.from(ids));
    const waves: NaiveWave[] = [];
    for (const program of this.#waves.slice(0, wavesOf(this.#shape, rows))) {
      await run([program], { rows });
      const fills = await words(this.#fills, fillWords(this.#shape));
      const header = await words(this.#step, STEP.words);
      waves.push({
        table: await words(this.#table, experts + 1),
        fills: Array.from(
          { length: fills[0]! },
          (_, i) => [fills[1 + 2 * i]!, fills[2 + 2 * i]!] as const,
        ),
        moreWaves: header[STEP.moreWaves] === 1,
      });
    }
    return waves;
  }

  async counters() {
    const [hits, misses, evictions, waves] = await words(this.#counters, 4);
    return { hits, misses, evictions, waves };
  }

  state(): Promise<number[]> {
    return words(this.#state, resolveState(this.#shape).length);
  }

  /** Makes the clock and all last uses later by so much. */
  async age(by: number): Promise<void> {
    const state = await this.state();
    const { slots } = this.#shape;
    const later = state.map((word, i) =>
      i === 0 || (i > slots && i <= 2 * slots) ? word + by : word
    );
    write(this.#state, Uint32Array.from(later));
  }
}

/** A repeatable choice of different experts for each row, the shared one last: neighbours choose alike. */
function choices({ experts, topK }: FillShape, rows: number, seed: number): number[] {
  const ids: number[] = [];
  for (let row = 0; row < rows; row++) {
    const chosen = new Set<number>();
    for (let i = 1; chosen.size < topK; i++) {
      const hash = Math.imul(seed * 311 + row * (i % 3) * 7 + i * i, 0x9e3779b1) >>> 8;
      chosen.add(hash % experts);
    }
    ids.push(...chosen, experts);
  }
  return ids;
}

const SHAPES: readonly FillShape[] = [
  { experts: 1, slots: 1, topK: 1 },
  { experts: 7, slots: 2, topK: 2 },
  { experts: 13, slots: 13, topK: 3 },
  { experts: 256, slots: 29, topK: 8 },
  { experts: 520, slots: 260, topK: 10 },
];

for (const shape of SHAPES) {
  const { experts, slots } = shape;
  Deno.test(`resolveExperts() keeps the slots of the naive twin and of the pager, ${slots} of ${experts}`, async () => {
    const places = Array.from({ length: experts }, (_, id) => (id * 5 + 3) % (2 * experts));
    const layer = new Layer(shape, places, slots);
    const naive = new NaiveSlots(shape);
    const pager = new ExpertPager({ ...shape, layers: 1, load: () => 1, writeTable: () => {} });
    for (const [index, rows] of [1, 1, 3, 1, MOST_ROWS, 1, 16, MOST_ROWS, MOST_ROWS, 1].entries()) {
      const ids = choices(shape, rows, index);
      const routed = ids.filter((id) => id < experts);
      if (pager.isResident(0, routed)) pager.touch(0, routed);
      else for await (const _ of pager.resolve(0, routed));
      assertEquals(await layer.step(ids), naive.step(ids, places, slots));
      assertEquals(await layer.state(), naive.state());
      const holders = (await layer.state()).slice(1, 1 + slots);
      holders.forEach((id, slot) => id === NONE || assertEquals(pager.table(0)[id], slot));
      if (index === 3) {
        const before = await layer.state();
        await layer.step(choices(shape, MOST_ROWS, 9), 1);
        assertEquals(await layer.state(), before, "a step that is stopped changes nothing");
      }
    }
    const { hits, misses, evictions, waves } = pager.counters;
    assertEquals(await layer.counters(), { hits, misses, evictions, waves });
    assertEquals(naive.counters, { hits, misses, evictions, waves });
    assert(slots === experts || evictions > 0, `${evictions} evictions`);
  });
}

Deno.test("resolveExperts() leaves out what cannot be had, and outlives its clock", async () => {
  const shape = { experts: 7, slots: 3, topK: 2 };
  const places = [0, 1, NONE, 3, 4, 5, 6];
  const layer = new Layer(shape, places, null);
  const naive = new NaiveSlots(shape);
  const steps = [[0, 2, 7], [1, 2, 7, 4, 3, 7], [5, 1, 7], [0, 4, 7, 1, 6, 7], [5, 6, 7], [
    0,
    1,
    7,
  ]];
  for (const [index, ids] of steps.entries()) {
    if (index === 2) await layer.age(0xfffffff5 - 2 * shape.slots);
    assertEquals(await layer.step(ids), naive.step(ids, places, null), `step ${index}`);
  }
  assert((await layer.state())[0]! < 100, "the clock was set back");
});

Deno.test("fillExperts() copies the listed experts of its part and chunk, and nothing else", async () => {
  const shape = { experts: 9, slots: 6, topK: 2 };
  const fills = Uint32Array.of(4, ...[2, 3], ...[4, 5], ...[5, 1], ...[6, 4], ...[3, 2], 7);
  for (const units of [1, 1023, 1024, 1025, 3000]) {
    const source = Uint32Array.from({ length: 4 * units * 4 }, (_, i) => 1 + i); // places 2 to 5
    const pair = { stride: 16 * units, firstPlace: 2, places: 4, firstSlot: 3, slots: 3 };
    const input = {
      fills,
      source,
      slots: { out: 3 * units * 4 },
      sizes: Uint32Array.from(fillSizes(pair)),
    };
    const { step } = stepBuffers([{ rows: 2 }]);
    const grid = fillGrid(shape, pair.stride, 2);
    const got = await runKernel(fillExperts(), { ...input, step }, grid);
    const slots = new Uint32Array(got.slots!.buffer);
    const one = 4 * units;
    assertEquals(slots.subarray(0, one), source.subarray(0, one)); // place 2 in slot 3
    assert(slots.subarray(one, 2 * one).every((word) => word === 0x7fc00123), "slot 4");
    assertEquals(slots.subarray(2 * one, 3 * one), source.subarray(2 * one, 3 * one)); // 4 in 5
    step[STEP.stopped] = 3;
    const stopped = await runKernel(fillExperts(), { ...input, step }, grid);
    assert(new Uint32Array(stopped.slots!.buffer).every((word) => word === 0x7fc00123));
  }
});

Deno.test("shapes that cannot be paged are refused", () => {
  for (const shape of [{ experts: 8, slots: 3, topK: 4 }, { experts: 8, slots: 9, topK: 2 }]) {
    assertThrows(() => resolveExperts(shape), RangeError, `in ${shape.slots} slots`);
  }
  const pair = { stride: 40, firstPlace: 0, places: 1, firstSlot: 0, slots: 1 };
  assertThrows(() => fillSizes(pair), RangeError, "40 bytes");
});
