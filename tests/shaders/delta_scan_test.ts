import { assertEquals } from "@std/assert";
import type { DeltaSizes } from "../../shaders/delta_rule/sizes.ts";
import { assertClose } from "../assert_close.ts";
import { sharingWays } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import { deltaCase, deltaNaive, rowsOf, runChunked, runStep, widths } from "./delta_case.ts";

const WAYS = await sharingWays();
const SMALL: DeltaSizes = { keyHeads: 2, valueHeads: 4, keyDim: 16, valueDim: 32 };

for (
  const [rows, keyHeads, valueHeads, keyDim, valueDim] of [
    [1, 1, 1, 16, 16],
    [15, 2, 4, 16, 32],
    [16, 1, 3, 64, 16],
    [17, 3, 3, 32, 64],
    [31, 2, 4, 16, 16],
    [33, 2, 6, 16, 16],
    [50, 1, 2, 128, 128],
  ] as const
) {
  const name = `${rows} rows, ${keyHeads}/${valueHeads} heads of ${keyDim} x ${valueDim}`;
  Deno.test(`deltaScan() matches naive row by row for ${name}`, async () => {
    const sizes = { keyHeads, valueHeads, keyDim, valueDim };
    const { slot } = widths(sizes);
    const c = deltaCase(rows, sizes);
    const state = pattern(3 * slot, 3);
    const want = deltaNaive(c, state.slice(slot, 2 * slot));
    for (const broadcast of WAYS) {
      const list = [{ rows, stateRead: 1, stateWrite: 2 }];
      const got = await runChunked(list, c, { state, broadcast });
      // f32 sums of up to 128 products, over up to 50 rows.
      assertClose("out", got.out, want.rule, 2e-6);
      assertClose("state", got.state.slice(2 * slot), want.state, 2e-6);
      assertEquals(got.state.slice(0, 2 * slot), state.slice(0, 2 * slot));
    }
  });
}

Deno.test("deltaScan() leaves the state that deltaStep() leaves", async () => {
  const c = deltaCase(45, SMALL);
  const state = pattern(widths(SMALL).slot, 3);
  const list = [{ rows: 45, stateRead: 0, stateWrite: 0 }];
  const chunked = await runChunked(list, c, { state });
  const stepped = await runStep(list, c, { state, mostRows: 45 });
  assertClose("state", chunked.state, stepped.state, 2e-6);
});

for (const split of [1, 15, 16, 17, 32, 39]) {
  Deno.test(`deltaScan() of 40 rows equals a split at ${split}`, async () => {
    const { values, slot } = widths(SMALL);
    const c = deltaCase(40, SMALL);
    const state = pattern(slot, 3);
    const inPlace = { stateRead: 0, stateWrite: 0 };
    const whole = await runChunked([{ rows: 40, ...inPlace }], c, { state });
    const head = rowsOf(c, 0, split);
    const first = await runChunked([{ rows: split, ...inPlace }], head, { state });
    const tail = rowsOf(c, split, 40);
    const second = await runChunked([{ rows: 40 - split, ...inPlace }], tail, first);
    assertClose("first", first.out, whole.out.slice(0, split * values), 2e-6);
    assertClose("second", second.out, whole.out.slice(split * values), 2e-6);
    assertClose("state", second.state, whole.state, 2e-6);
  });
}

for (const broadcast of WAYS) {
  const way = broadcast ? "broadcasts" : "workgroup memory";
  Deno.test(`deltaScan() of several segments equals each alone, bit for bit, with ${way}`, async () => {
    const { values, slot } = widths(SMALL);
    const counts = [17, 3, 40, 16];
    const c = deltaCase(76, SMALL);
    const state = pattern(4 * slot, 3);
    const list = counts.map((rows, i) => ({ rows, stateRead: i, stateWrite: i }));
    const all = await runChunked(list, c, { state, mostRows: 3, broadcast });
    let first = 0;
    for (const [i, rows] of counts.entries()) {
      const own = await runChunked([list[i]!], rowsOf(c, first, first + rows), {
        state,
        mostRows: 3,
        broadcast,
      });
      assertEquals(own.out, all.out.slice(first * values, (first + rows) * values));
      assertEquals(own.out.every(Number.isNaN), rows === 3);
      assertEquals(
        own.state.slice(i * slot, (i + 1) * slot),
        all.state.slice(i * slot, (i + 1) * slot),
      );
      first += rows;
    }
  });
}

Deno.test("deltaScan() starts from zeros without a slot to read, whatever the slot holds", async () => {
  const c = deltaCase(20, SMALL);
  const state = new Float32Array(widths(SMALL).slot).fill(NaN);
  const want = deltaNaive(c, null);
  for (const broadcast of WAYS) {
    const got = await runChunked([{ rows: 20, stateWrite: 0 }], c, { state, broadcast });
    assertClose("out", got.out, want.rule, 2e-6);
    assertClose("state", got.state, want.state, 2e-6);
  }
});

Deno.test("deltaScan() leaves the slots alone without a slot to write", async () => {
  const state = pattern(widths(SMALL).slot, 3);
  for (const broadcast of WAYS) {
    const list = [{ rows: 20, stateRead: 0 }];
    const got = await runChunked(list, deltaCase(20, SMALL), { state, broadcast });
    assertEquals(got.state, state);
  }
});

// Keys that hardly differ with beta near 1 and no decay: I + A is then so ill-conditioned for matrix
// doubling that its inverse is off by more than 1e9; forward substitution is not.
Deno.test("deltaScan() holds for similar keys, beta near 1 and hardly any decay", async () => {
  const sizes = { keyHeads: 1, valueHeads: 1, keyDim: 128, valueDim: 16 };
  const { channels } = widths(sizes);
  const c = deltaCase(64, sizes);
  const convolved = c.convolved.map((value, i) => {
    const column = i % channels;
    return column < 128 || column >= 256 ? value : 1 + 0.3 * value;
  });
  const ba = Float32Array.from({ length: 128 }, (_, i) => i % 2 ? -12 : 9);
  const similar = { ...c, convolved, ba };
  const want = deltaNaive(similar, null);
  for (const broadcast of WAYS) {
    const state = new Float32Array(widths(sizes).slot);
    const got = await runChunked([{ rows: 64, stateWrite: 0 }], similar, { state, broadcast });
    assertClose("out", got.out, want.rule, 1e-5);
    assertClose("state", got.state, want.state, 1e-5);
  }
});

Deno.test("deltaScan() survives decays whose inverse overflows", async () => {
  const c = { ...deltaCase(33, SMALL), a_log: new Float32Array(4).fill(4) };
  const state = pattern(widths(SMALL).slot, 3);
  const want = deltaNaive(c, state);
  for (const broadcast of WAYS) {
    const list = [{ rows: 33, stateRead: 0, stateWrite: 0 }];
    const got = await runChunked(list, c, { state, broadcast });
    assertClose("out", got.out, want.rule, 2e-6);
    assertClose("state", got.state, want.state, 2e-6);
  }
});
