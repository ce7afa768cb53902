import { assertEquals, assertThrows } from "@std/assert";
import { causalConv, causalConvGrid } from "../../shaders/causal_conv/causal_conv.ts";
import { causalConvNaive } from "../../shaders/causal_conv/naive.ts";
import { assertClose } from "../assert_close.ts";
import { runKernel } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import { stepBuffers, type TestSegment } from "../step.ts";

interface Case {
  readonly channels: number;
  readonly stride: number;
  readonly taps: number;
  readonly fewestRows?: number;
}

/** Runs segments over `mixed`; returns y and every slot of the state. */
function run(
  list: readonly TestSegment[],
  sizes: Case,
  { mixed, weight, state }: Record<"mixed" | "weight" | "state", Float32Array<ArrayBuffer>>,
): Promise<Record<string, Float32Array<ArrayBuffer>>> {
  const { step, segments } = stepBuffers(list);
  const { channels, stride } = sizes;
  const rows = mixed.length / stride;
  const grid = causalConvGrid(channels);
  return runKernel(
    causalConv(sizes),
    { step, segments, mixed, weight, state: state.slice(), y: { out: rows * channels } },
    grid({ rows, segments: list.length, headRows: 0, maxContext: 0 }),
  );
}

/** The inputs before position `next` out of a ring of a state slot, oldest first: [taps - 1, channels]. */
function beforeNext(
  ring: Float32Array<ArrayBuffer>,
  next: number,
  { channels, taps }: Pick<Case, "channels" | "taps">,
): Float32Array<ArrayBuffer> {
  const before = new Float32Array((taps - 1) * channels);
  for (let j = 0; j < taps - 1; j++) {
    const column = (next + 1 + j) % taps;
    before.set(ring.subarray(column * channels, (column + 1) * channels), j * channels);
  }
  return before;
}

for (
  const [rows, channels, taps] of [
    [1, 32, 4],
    [2, 260, 4],
    [3, 64, 3],
    [15, 40, 2],
    [16, 40, 4],
    [17, 40, 4],
    [40, 252, 4],
    [1, 8192, 4],
  ] as const
) {
  Deno.test(`causalConv() matches naive for ${rows} x ${channels}, ${taps} taps`, async () => {
    const sizes = { channels, stride: channels + 16, taps };
    const mixed = pattern(rows * sizes.stride, 1);
    const weight = pattern(channels * taps, 2);
    const slot = taps * channels;
    const state = pattern(3 * slot, 3);
    const context = 5 + rows;
    const segment = { rows, context, stateRead: 1, stateWrite: 2 };
    const got = await run([segment], sizes, { mixed, weight, state });
    const ring = state.slice(slot, 2 * slot);
    const before = beforeNext(ring, context, sizes);
    const want = causalConvNaive({ x: mixed, weight, state: before }, sizes);
    // Sums of up to four products in f32, then exp of llvmpipe (about 2e-7).
    assertClose("y", got.y!, want.y, 1e-6);
    assertEquals(got.state!.slice(0, slot), state.slice(0, slot));
    assertEquals(got.state!.slice(slot, 2 * slot), ring);
    const after = beforeNext(got.state!.slice(2 * slot, 3 * slot), context + rows, sizes);
    assertEquals([...after], [...want.state]);
  });
}

Deno.test("causalConv() starts from zeros without a slot to read, whatever the slot holds", async () => {
  const sizes = { channels: 20, stride: 20, taps: 4 };
  const mixed = pattern(2 * 20, 1);
  const weight = pattern(80, 2);
  const state = new Float32Array(80).fill(NaN);
  const got = await run([{ rows: 2, stateWrite: 0 }], sizes, { mixed, weight, state });
  const want = causalConvNaive({ x: mixed, weight, state: null }, sizes);
  assertClose("y", got.y!, want.y, 1e-6);
  assertEquals([...beforeNext(got.state!, 2, sizes)], [...want.state]);
});

Deno.test("causalConv() leaves the slots alone without a slot to write", async () => {
  const sizes = { channels: 20, stride: 20, taps: 4 };
  const data = { mixed: pattern(100, 1), weight: pattern(80, 2), state: pattern(80, 3) };
  const got = await run([{ rows: 5, stateRead: 0 }], sizes, data);
  assertEquals(got.state, data.state);
});

for (const split of [1, 2, 3, 15, 16, 17, 35]) {
  Deno.test(`causalConv() of 36 rows in place equals a split at ${split}, bit for bit`, async () => {
    const sizes = { channels: 24, stride: 24, taps: 4 };
    const mixed = pattern(36 * 24, 1);
    const weight = pattern(96, 2);
    const inPlace = { stateRead: 0, stateWrite: 0 };
    const state = pattern(96, 3);
    const whole = await run([{ rows: 36, ...inPlace }], sizes, { mixed, weight, state });
    const head = mixed.slice(0, split * 24);
    const first = await run([{ rows: split, ...inPlace }], sizes, { mixed: head, weight, state });
    const tail = mixed.slice(split * 24);
    const middle = first.state!;
    const rest = { rows: 36 - split, context: split, ...inPlace };
    const second = await run([rest], sizes, {
      mixed: tail,
      weight,
      state: middle,
    });
    assertEquals([...first.y!, ...second.y!], [...whole.y!]);
    assertEquals(
      beforeNext(second.state!, 36, sizes),
      beforeNext(whole.state!, 36, sizes),
    );
  });
}

Deno.test("causalConv() of several segments equals each alone, bit for bit", async () => {
  const sizes = { channels: 24, stride: 24, taps: 4 };
  const counts = [1, 4, 33, 1, 2, 16];
  const total = counts.reduce((a, b) => a + b);
  const mixed = pattern(total * 24, 1);
  const weight = pattern(96, 2);
  const state = pattern(6 * 96, 3);
  const list = counts.map((rows, i) => ({ rows, stateRead: i, stateWrite: i }));
  const all = await run(list, sizes, { mixed, weight, state });
  let first = 0;
  for (const [i, rows] of counts.entries()) {
    const range = [first * 24, (first + rows) * 24] as const;
    const own = { mixed: mixed.slice(...range), weight, state };
    const one = await run([list[i]!], sizes, own);
    assertEquals(one.y, all.y!.slice(...range));
    assertEquals(one.state!.slice(i * 96, i * 96 + 96), all.state!.slice(i * 96, i * 96 + 96));
    first += rows;
  }
});

Deno.test("causalConv() leaves segments of fewer rows alone, and their slots", async () => {
  const sizes = { channels: 24, stride: 24, taps: 4, fewestRows: 2 };
  const data = { mixed: pattern(72, 1), weight: pattern(96, 2), state: pattern(192, 3) };
  const list = [{ rows: 1, stateRead: 0, stateWrite: 0 }, { rows: 2, stateRead: 1, stateWrite: 1 }];
  const { y, state } = await run(list, sizes, data);
  assertEquals(y!.slice(0, 24).every(Number.isNaN), true);
  assertEquals(y!.slice(24, 72).some(Number.isNaN), false);
  assertEquals(state!.slice(0, 96), data.state.slice(0, 96));
});

Deno.test("causalConv() refuses more taps than its window holds, and odd rows", () => {
  assertThrows(() => causalConv({ channels: 8, stride: 8, taps: 5 }), RangeError, "2 to 4");
  assertThrows(() => causalConv({ channels: 6, stride: 8, taps: 4 }), RangeError, "6 channels");
});
