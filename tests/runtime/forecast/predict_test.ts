import { assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import type { KernelRates } from "../../../runtime/forecast/kernel_rates.ts";
import { besideMeasured, predict } from "../../../runtime/forecast/predict.ts";
import { ask, requestOf } from "./ask.ts";

const RATES = { read: 1e12, upload: 2e10, flops: 3e13, dispatch: 2e-6, kernels: null };
const LOAD = { sequences: 1, context: 0, promptTokens: 512 };

function engine(expertSlots: number) {
  const { subject, choice } = requestOf("--device l4");
  const plan = { budget: 2 ** 40, expertSlots, contextLength: 2048, kvPages: 64, kvArenas: 1 };
  return { subject, choice, plan, rates: RATES, software: false };
}

Deno.test("predict() is the forecast of a device with the measured rates", () => {
  const found = predict(engine(128), LOAD);
  const same = ask("--vram 64G --bandwidth 1000 --link 20 --host 4 --tflops 30");
  // All resident there, half here: hits and paging differ, bytes do not.
  assertEquals(found.slots, 128);
  assertEquals(found.hitRate.value > 0.9 && found.hitRate.value < 0.95, true);
  assertEquals(found.decode.value < same.speed!.tokensPerSecond.value, true);
  const resident = predict(engine(256), LOAD);
  assertEquals(resident.hitRate.value, 1);
  // 3.62 GB at half of 1 TB/s, 309 dispatches of 2 us, and the host's part.
  assertAlmostEquals(resident.decode.value, 1 / (3.617 / 500 + 0.000618 + 0.0004), 0.1);
  assertEquals(resident.dispatches, 309);
});

Deno.test("predict() takes a measured page-in rate, loads of several sequences, and prompts", () => {
  const slow = predict({ ...engine(64), pageIn: 1e9 }, LOAD);
  const fast = predict({ ...engine(64), pageIn: 2e10 }, LOAD);
  assertEquals(slow.decode.value < fast.decode.value, true);
  assertEquals(slow.prefill.value < fast.prefill.value, true);
  assertMatch(fast.decode.formula, /page in at 20\.0 GB\/s/);
  const eight = predict(engine(256), { ...LOAD, sequences: 8 });
  assertEquals(eight.decode.value > 2.5 * predict(engine(256), LOAD).decode.value, true);
});

/** Rates that make each kind of kernel tell in a sum. */
const KERNELS: KernelRates = {
  narrow: { one: 1e11, four: 5e10, eight: 2e10, sixteen: 1e10, many: 1e13 },
  wide: { one: 2e11, four: 1e11, eight: 4e10, sixteen: 2e10, many: 1e13 },
  experts: { one: 1e11, several: 5e10, tile: 4, many: { read: 2e11, compute: 5e12 } },
  delta: { step: 1e11, chunk: 1e12 },
  attention: { decode: 1e11, prefill: 1e12 },
  dispatch: 1e-5,
  token: 1e-3,
};

Deno.test("predict() adds up the kernels where they were measured", () => {
  const measured = { ...engine(256), rates: { ...RATES, kernels: KERNELS } };
  const at = (load: Partial<typeof LOAD>) => predict(measured, { ...LOAD, ...load });
  const seconds = 1 / at({}).decode.value;
  // FP8 matrices of 1.29 GB, wide ones of 1.06 GB, 9 experts of 3.15 MB in 40 layers, the states, and the rest.
  const want = 0.0129 + 0.0053 + 0.01133 + 0.00129 + 0.00309 + 0.001;
  assertAlmostEquals(seconds / want, 1, 0.02);
  // Twice the context takes twice the attention: 40,960 B a token of f32 keys and values.
  const [near, far] = [1024, 2048].map((context) => 1 / at({ context }).decode.value);
  assertAlmostEquals(far! - near!, 1024 * 40_960 / 1e11, 1e-6);
  // Eight rows at the rate of eight, sixteen at half of it; another reading of the shared expert every four.
  const eight = 8 / at({ sequences: 8 }).decode.value;
  const sixteen = 16 / at({ sequences: 16 }).decode.value;
  const matrices = 1.29 / 20 + 1.06 / 40;
  const experts = (rows: number) =>
    40 * (256 * (1 - (1 - 8 / 256) ** rows) + rows / 4) * 3.1469e6 / 5e10;
  const states = 8 * 0.00129;
  assertAlmostEquals((sixteen - eight) / (matrices + experts(16) - experts(8) + states), 1, 0.02);
});

Deno.test("predict() of a prompt reads each expert once a step and multiplies with those of every row", () => {
  const measured = { ...engine(256), rates: { ...RATES, kernels: KERNELS } };
  const of = (promptTokens: number) =>
    1 / predict(measured, { ...LOAD, promptTokens }).prefill.value;
  // Two steps of 512 or one: a token takes as long, but for attention.
  const more = 512 / 2 * 163_840 / 1e12;
  assertAlmostEquals(of(1024) - of(512), more, 2e-6);
  assertEquals(of(64) > 2 * of(512), true);
});

Deno.test("besideMeasured() says how much of the prediction was reached", () => {
  assertEquals(
    besideMeasured({ value: 50, formula: "1 / 20 ms" }, 40),
    "predicted 50.0 = 1 / 20 ms; measured 80 % of it",
  );
});
