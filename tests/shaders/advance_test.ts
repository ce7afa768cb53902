import { assertEquals } from "@std/assert";
import { advance, LIMIT } from "../../shaders/advance/advance.ts";
import { advanceNaive, type NaiveRunning } from "../../shaders/advance/naive.ts";
import { NONE, ROW, SEGMENT, STEP } from "../../shaders/common/step.ts";
import { SAMPLE } from "../../shaders/sampler/layout.ts";
import { runKernel } from "../gpu.ts";
import { stepBuffers } from "../step.ts";

interface Draw {
  readonly id: number;
  readonly bad: boolean;
}

const POISON = 0x7fc00123;

async function run(list: readonly NaiveRunning[], draws: readonly Draw[], stopped = 0) {
  const buffers = stepBuffers(
    list.map(({ cacheIndex, stateRead, stateWrite }) => ({
      rows: 1,
      context: cacheIndex,
      stateRead: stateRead ?? NONE,
      stateWrite: stateWrite ?? NONE,
      arena: 3,
      sampler: 5,
    })),
  );
  buffers.step[STEP.stopped] = stopped;
  const samples = new Uint32Array(list.length * SAMPLE.words).fill(POISON);
  const limits = new Uint32Array(list.length * LIMIT.words).fill(POISON);
  list.forEach(({ token, left, stopIds }, i) => {
    buffers.rows[i * ROW.words + ROW.token] = token;
    samples[i * SAMPLE.words + SAMPLE.id] = draws[i]!.id;
    samples[i * SAMPLE.words + SAMPLE.bad] = Number(draws[i]!.bad);
    limits.set([left, stopIds.length, ...stopIds], i * LIMIT.words);
  });
  const out = await runKernel(
    advance(),
    { ...buffers, samples, limits, ids: { out: list.length } },
    [1, 1, 1],
  );
  const words = (name: string) => new Uint32Array(out[name]!.buffer);
  return {
    step: words("step"),
    ids: [...words("ids")].slice(0, list.length),
    list: list.map(({ stopIds }, i): NaiveRunning => {
      const row = words("rows").subarray(i * ROW.words);
      const segment = words("segments").subarray(i * SEGMENT.words);
      const slot = (at: number) => segment[at] === NONE ? null : segment[at]!;
      // What is not the kernel's business stays.
      assertEquals(row[ROW.segment], i);
      assertEquals([segment[SEGMENT.firstRow], segment[SEGMENT.rowCount]], [i, 1]);
      assertEquals([segment[SEGMENT.arena], segment[SEGMENT.sampler]], [3, 5]);
      assertEquals(segment[SEGMENT.context], row[ROW.cacheIndex]);
      return {
        token: row[ROW.token]!,
        cacheIndex: row[ROW.cacheIndex]!,
        stateRead: slot(SEGMENT.stateRead),
        stateWrite: slot(SEGMENT.stateWrite),
        left: words("limits")[i * LIMIT.words]!,
        stopIds,
      };
    }),
  };
}

/** Sequences that go on, end at a stop id, at their limit, at a bad sample, and that had ended before. */
function sequences(count: number): { list: NaiveRunning[]; draws: Draw[] } {
  const list = Array.from({ length: count }, (_, i): NaiveRunning => ({
    token: 1000 + i,
    cacheIndex: 7 * i,
    stateRead: i % 3 ? i : 20 + i,
    stateWrite: i % 5 === 4 ? null : 20 + i,
    left: [9, 2, 1, 5, 0][i % 5]!,
    stopIds: i % 5 === 1 ? Array.from({ length: LIMIT.mostStopIds }, (_, s) => 40 + s) : [3, 4],
  }));
  const draws = list.map((_, i): Draw => ({ id: i % 5 === 1 ? 69 : 5 + i, bad: i % 5 === 3 }));
  return { list, draws };
}

for (const count of [1, 3, 5, 16]) {
  Deno.test(`advance() takes ${count} sequences to their next rows, and those that end no further`, async () => {
    const { list, draws } = sequences(count);
    const got = await run(list, draws);
    const want = advanceNaive(list, draws);
    assertEquals(got.list, want.list);
    assertEquals(got.ids, draws.map(({ id }, i) => list[i]!.left === 0 ? POISON : id));
    assertEquals(got.step[STEP.stopped], 0);
  });
}

Deno.test("advance() stops the step once every sequence has ended, and leaves a stopped one alone", async () => {
  const { list, draws } = sequences(5);
  const ending = list.map((running) => ({ ...running, left: Math.min(running.left, 1) }));
  assertEquals(advanceNaive(ending, draws).stopped, true);
  assertEquals((await run(ending, draws)).step[STEP.stopped], NONE);
  const stopped = await run(list, draws, 4);
  assertEquals(stopped.list, list);
  assertEquals(stopped.ids, list.map(() => POISON));
  assertEquals(stopped.step[STEP.stopped], 4);
});
