import { assertAlmostEquals, assertEquals, assertMatch } from "@std/assert";
import { besideMeasured, predict } from "../../../runtime/forecast/predict.ts";
import { ask, requestOf } from "./ask.ts";

const RATES = { read: 1e12, upload: 2e10, flops: 3e13, dispatch: 2e-6 };
const LOAD = { sequences: 1, context: 0, promptTokens: 512 };

function engine(expertSlots: number) {
  const { subject, choice } = requestOf("--device l4");
  return { subject, choice, plan: { budget: 2 ** 40, expertSlots }, rates: RATES };
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
  // 3.62 GB at half of 1 TB/s, and 309 dispatches of 2 us.
  assertAlmostEquals(resident.decode.value, 1 / (3.617 / 500 + 0.000618), 0.1);
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

Deno.test("besideMeasured() says how much of the prediction was reached", () => {
  assertEquals(
    besideMeasured({ value: 50, formula: "1 / 20 ms" }, 40),
    "predicted 50.0 = 1 / 20 ms; measured 80 % of it",
  );
});
