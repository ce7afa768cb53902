import { assertEquals, assertRejects } from "@std/assert";
import { ForecastOptionError } from "../../../runtime/forecast/request.ts";
import { measureHere, type MeasureRequest } from "../../../runtime/forecast/own_device.ts";
import { Planner } from "../../../runtime/forecast/planner.ts";
import type { ModelInfo } from "../../../runtime/mod.ts";
import { MOCK_MODEL } from "../../mock_engine.ts";

const GOLDEN = `${import.meta.dirname}/../../golden/parity`;
const OPTIONS = {
  model: `${GOLDEN}/tiny_fp8`,
  maxSequences: 4,
  context: 2048,
  chunkRows: 512,
  kv: "f32",
  head: "stored",
  runAhead: null,
  residency: "auto",
  cacheDir: null,
} as const;
const RATES = { read: 2e9, upload: 1e9, flops: 1e11, dispatch: 2e-5, kernels: null };
const MEASURED = { rates: RATES, maxBinding: 2 ** 27, software: true };
const MODEL: ModelInfo = { ...MOCK_MODEL, adapter: "a card", memoryBudget: 2 ** 30 };

function planner() {
  let measured = 0;
  const made = new Planner(OPTIONS, () => Promise.resolve(MEASURED).finally(() => measured++));
  return { planner: made, measured: () => measured };
}

Deno.test("Planner answers for the model and device it serves, measured once", async () => {
  const { planner: own, measured } = planner();
  const { forecast } = await own.answer({}, () => Promise.resolve(MODEL));
  assertEquals([forecast.title, forecast.device.name], ["tiny_fp8", "a card"]);
  assertEquals([forecast.budget.value, forecast.plan!.budget], [2 ** 30, 2 ** 30]);
  assertEquals(forecast.plan!.contextLength, 2048);
  const { bandwidth, link, dispatch } = forecast.device;
  assertEquals([bandwidth, link, dispatch], [2e9, 1e9, 2e-5]);
  // A size that is given is a card's, at the rates of this one.
  const other = await own.answer({ vram: "4G", context: "512" }, () => Promise.resolve(MODEL));
  assertEquals(other.forecast.budget.value, Math.floor(0.94 * 2 ** 32));
  assertEquals([other.forecast.plan!.contextLength, measured()], [512, 1]);
  assertEquals(other.chart().startsWith("<svg "), true);
});

Deno.test("Planner asks neither engine nor device where another device is named", async () => {
  const { planner: own, measured } = planner();
  const unasked = () => Promise.reject(new Error("The engine was asked"));
  const { forecast } = await own.answer({ model: "35B-A3B", device: "l4" }, unasked);
  assertEquals([forecast.title, forecast.device.name], ["35B-A3B fp8", "l4"]);
  await own.answer({ vram: "8G", bandwidth: "100" }, unasked);
  assertEquals(measured(), 0);
});

Deno.test("Planner names the value at fault, and opens no file for a caller", async () => {
  const { planner: own } = planner();
  const model = () => Promise.resolve(MODEL);
  for (
    const [values, option] of [
      [{ model: "/etc/passwd" }, "model"],
      [{ model: `${GOLDEN}/tiny_fp8/config.json` }, "model"],
      [{ context: "100000000" }, "context"],
      [{ device: "constructor" }, "device"],
      // The own device binds 128 MiB: 65,536 tokens of f32 keys in one layer.
      [{ model: "35B-A3B", context: "200000" }, "context"],
    ] as const
  ) {
    const error = await assertRejects(() => own.answer(values, model), ForecastOptionError);
    assertEquals(error.option, option);
  }
  const nothing = { ...MOCK_MODEL };
  await assertRejects(
    () => own.answer({}, () => Promise.resolve(nothing)),
    ForecastOptionError,
    "wanted a device",
  );
});

Deno.test("Planner measures again after it could not", async () => {
  let tries = 0;
  const measure = () =>
    tries++ === 0 ? Promise.reject(new Error("busy")) : Promise.resolve(MEASURED);
  const own = new Planner(OPTIONS, measure);
  const model = () => Promise.resolve(MODEL);
  await assertRejects(() => own.answer({}, model), Error, "busy");
  assertEquals((await own.answer({}, model)).forecast.fits, true);
});

Deno.test("Planner has the kernels measured that the engine runs, and remembers where it may", async () => {
  const asked: MeasureRequest[] = [];
  const measure = (request: MeasureRequest) => {
    asked.push(request);
    return Promise.resolve(MEASURED);
  };
  for (const cacheDir of [null, "/cache"]) {
    const own = new Planner({ ...OPTIONS, cacheDir }, measure);
    await own.answer({}, () => Promise.resolve({ ...MODEL, kernels: "pairs-8x8" }));
  }
  assertEquals(asked, [
    { cacheDir: null, kernels: "pairs-8x8" },
    { cacheDir: "/cache", kernels: "pairs-8x8" },
  ]);
});

Deno.test("measureHere() measures this machine in another thread, once where it may remember", async () => {
  const cacheDir = await Deno.makeTempDir();
  try {
    const measured = await measureHere({ cacheDir, kernels: null });
    const { rates, maxBinding } = measured;
    const { kernels, ...device } = rates;
    const found = [device, kernels!].flatMap(numbersIn);
    assertEquals(found.length > 20, true);
    for (const rate of found) assertEquals(rate >= 0 && Number.isFinite(rate), true);
    assertEquals(maxBinding >= 2 ** 27, true);
    assertEquals(rates.dispatch < 0.01, true);
    // No two measurements are alike to the last digit.
    assertEquals(await measureHere({ cacheDir, kernels: null }), measured);
  } finally {
    await Deno.remove(cacheDir, { recursive: true });
  }
});

/** Every number in a value, however deep. */
function numbersIn(value: unknown): number[] {
  return typeof value === "number" ? [value] : Object.values(value as object).flatMap(numbersIn);
}
