import { assertEquals, assertThrows } from "@std/assert";
import { deltaStep } from "../../shaders/delta_rule/delta_step.ts";
import type { DeltaSizes } from "../../shaders/delta_rule/sizes.ts";
import { assertClose } from "../assert_close.ts";
import { sharingWays } from "../gpu.ts";
import { pattern } from "../pattern.ts";
import {
  deltaCase,
  deltaNaive,
  EPSILON,
  rowsOf,
  runStep,
  stepInputs,
  widths,
} from "./delta_case.ts";

const SMALLEST: DeltaSizes = { keyHeads: 2, valueHeads: 4, keyDim: 16, valueDim: 16 };
/** Threads share through workgroup memory, or, for single rows of large enough heads, by broadcasts. */
const WAYS = (await sharingWays()).map((broadcast): readonly [string, boolean, DeltaSizes] =>
  broadcast
    ? ["broadcasts", true, { ...SMALLEST, valueDim: 32 }]
    : ["workgroup memory", false, SMALLEST]
);

for (
  const [rows, keyHeads, valueHeads, keyDim, valueDim] of [
    [1, 1, 1, 16, 16],
    [1, 2, 4, 16, 64],
    [1, 1, 2, 128, 128],
    [5, 2, 4, 16, 32],
    [3, 1, 3, 64, 16],
    [2, 3, 3, 32, 128],
    [3, 2, 4, 64, 32],
    [16, 1, 2, 128, 128],
  ] as const
) {
  const name = `${rows} rows, ${keyHeads}/${valueHeads} heads of ${keyDim} x ${valueDim}`;
  Deno.test(`deltaStep() matches naive for ${name}`, async () => {
    const sizes = { keyHeads, valueHeads, keyDim, valueDim };
    const { slot } = widths(sizes);
    const c = deltaCase(rows, sizes);
    // Thirds, whose sums are rounded: another order of adding shows.
    const state = pattern(3 * slot, 3).map((value) => value / 3);
    const want = deltaNaive(c, state.slice(slot, 2 * slot));
    const list = [{ rows, stateRead: 1, stateWrite: 2 }];
    const shared = await runStep(list, c, { state, broadcast: false });
    // f32 sums of up to 128 products, over up to 16 rows.
    assertClose("out", shared.out, want.out, 2e-6);
    assertClose("state", shared.state.slice(2 * slot), want.state, 1e-6);
    assertEquals(shared.state.slice(0, 2 * slot), state.slice(0, 2 * slot));
    if (WAYS.length === 1) return;
    const told = await runStep(list, c, { state, broadcast: true });
    assertEquals(told, shared); // Bits do not depend on how threads share.
  });
}

for (const [way, broadcast, SMALL] of WAYS) {
  Deno.test(`deltaStep() of 16 segments equals 16 single runs, bit for bit, with ${way}`, async () => {
    const { slot, values } = widths(SMALL);
    const c = deltaCase(16, SMALL);
    const state = pattern(16 * slot, 4);
    const list = Array.from({ length: 16 }, (_, i) => ({ rows: 1, stateRead: i, stateWrite: i }));
    const all = await runStep(list, c, { state, broadcast });
    for (const [i, segment] of list.entries()) {
      const one = await runStep([segment], rowsOf(c, i, i + 1), { state, broadcast });
      assertEquals(one.out, all.out.slice(i * values, (i + 1) * values));
      const range = [i * slot, (i + 1) * slot] as const;
      assertEquals(one.state.slice(...range), all.state.slice(...range));
    }
  });

  Deno.test(`deltaStep() of a segment of several rows equals its rows one by one, bit for bit, with ${way}`, async () => {
    const { slot, values } = widths(SMALL);
    const c = deltaCase(7, SMALL);
    const state = pattern(2 * slot, 5);
    const list = [{ rows: 4, stateRead: 0, stateWrite: 0 }, { rows: 3, stateWrite: 1 }];
    const all = await runStep(list, c, { state, broadcast });
    let one = state;
    for (let row = 0; row < 7; row++) {
      const slotOf = row < 4 ? 0 : 1;
      const read = row === 4 ? {} : { stateRead: slotOf };
      const segment = { rows: 1, ...read, stateWrite: slotOf };
      const got = await runStep([segment], rowsOf(c, row, row + 1), { state: one, broadcast });
      assertEquals(got.out, all.out.slice(row * values, (row + 1) * values));
      one = got.state;
    }
    assertEquals(one, all.state);
  });

  Deno.test(`deltaStep() starts from zeros without a slot to read, whatever the slot holds, with ${way}`, async () => {
    const { slot } = widths(SMALL);
    const c = deltaCase(3, SMALL);
    const state = new Float32Array(slot).fill(NaN);
    const got = await runStep([{ rows: 3, stateWrite: 0 }], c, { state, broadcast });
    const want = deltaNaive(c, null);
    assertClose("out", got.out, want.out, 2e-6);
    assertClose("state", got.state, want.state, 1e-6);
  });

  Deno.test(`deltaStep() norms the input of its gates, in steps of few rows alone, with ${way}`, async () => {
    const { hidden } = stepInputs(deltaCase(1, SMALL)).sizes;
    for (const rows of [3, 17]) {
      const c = deltaCase(rows, SMALL);
      const squares = pattern(rows * 21, 8).map((value) => 40 + value);
      const state = pattern(widths(SMALL).slot, 3);
      const list = [{ rows: 1, stateRead: 0 }, { rows: rows - 1 }];
      const ba = c.ba.map((value, i) => {
        const row = Math.floor(i / (2 * SMALL.valueHeads));
        const sum = squares.slice(row * 21, (row + 1) * 21).reduce((a, b) => a + b);
        return rows > 16 ? value : value / Math.sqrt(sum / hidden + EPSILON);
      });
      const got = await runStep(list, c, { state, broadcast, squares });
      assertClose(
        "out",
        got.out,
        (await runStep(list, { ...c, ba }, { state, broadcast })).out,
        2e-6,
      );
    }
  });

  Deno.test(`deltaStep() leaves the slots alone without a slot to write, with ${way}`, async () => {
    const { slot } = widths(SMALL);
    const state = pattern(slot, 3);
    const got = await runStep([{ rows: 2, stateRead: 0 }], deltaCase(2, SMALL), {
      state,
      broadcast,
    });
    assertEquals(got.state, state);
  });

  Deno.test(`deltaStep() leaves longer segments to the chunked kernels, with ${way}`, async () => {
    const { slot, values } = widths(SMALL);
    const c = deltaCase(7, SMALL);
    const state = pattern(2 * slot, 3);
    const list = [{ rows: 5, stateRead: 0, stateWrite: 0 }, {
      rows: 2,
      stateRead: 1,
      stateWrite: 1,
    }];
    const got = await runStep(list, c, { state, broadcast, mostRows: 4 });
    assertEquals(got.out.slice(0, 5 * values).every(Number.isNaN), true);
    assertEquals(got.state.slice(0, slot), state.slice(0, slot));
    const want = deltaNaive(rowsOf(c, 5, 7), state.slice(slot));
    assertClose("out", got.out.slice(5 * values), want.out, 2e-6);
    assertClose("state", got.state.slice(slot), want.state, 1e-6);
  });

  Deno.test(`deltaStep() keeps the digits of a tiny softplus under a large rate, with ${way}`, async () => {
    const c = deltaCase(8, SMALL);
    // softplus(-8) is 3.4e-4, of which 1 + e^-8 in f32 holds four digits; times e^8 it decides the decay.
    const ba = c.ba.map((value, i) => i % 8 < 4 ? value : value / 8 - 8);
    const strict = {
      ...c,
      ba,
      a_log: new Float32Array(4).fill(8),
      dt_bias: new Float32Array(4),
    };
    const state = pattern(widths(SMALL).slot, 3);
    const got = await runStep([{ rows: 8, stateRead: 0, stateWrite: 0 }], strict, {
      state,
      broadcast,
    });
    assertClose("state", got.state, deltaNaive(strict, state).state, 4e-6);
  });
}

Deno.test("deltaStep() drifts by less than 1e-4 in 512 rows", async () => {
  const sizes = { keyHeads: 1, valueHeads: 2, keyDim: 128, valueDim: 16 };
  const { values } = widths(sizes);
  // Weak decay, so that what the first rows wrote is still there at the end.
  const c = { ...deltaCase(512, sizes), a_log: new Float32Array(2).fill(-6) };
  const got = await runStep([{ rows: 512, stateWrite: 0 }], c, {
    state: new Float32Array(widths(sizes).slot).fill(NaN),
    mostRows: 512,
  });
  const want = deltaNaive(c, null);
  assertClose("state", got.state, want.state, 1e-4);
  assertClose("out", got.out.slice(511 * values), want.out.slice(511 * values), 1e-4);
});

Deno.test("deltaStep() refuses sizes that it was not written for", () => {
  const options = { fewestRows: 2, mostRows: 16, epsilon: EPSILON, broadcast: false };
  const small = { ...SMALLEST, hidden: 32, convKernel: 4 };
  assertThrows(() => deltaStep({ ...small, keyDim: 48 }, options), RangeError, "keyDim 48");
  assertThrows(() => deltaStep({ ...small, valueHeads: 3 }, options), RangeError, "a multiple");
  assertThrows(() => deltaStep({ ...small, hidden: 24 }, options), RangeError, "rows of 24");
  assertThrows(() => deltaStep({ ...small, convKernel: 5 }, options), RangeError, "5 taps");
});
