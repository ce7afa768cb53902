import { assert, assertEquals } from "@std/assert";
import { FP8_DECODERS, fp8ToNumber } from "../../../shaders/common/fp8.ts";
import { isExact, workingDecoders } from "../../../runtime/tune/decoders.ts";
import { gpu } from "../../gpu.ts";

const VALUES = Float32Array.from({ length: 256 }, (_, code) => fp8ToNumber(code));

Deno.test("workingDecoders() finds that all work on a device that keeps subnormals", async () => {
  const { device } = await gpu();
  assertEquals(await workingDecoders(device, FP8_DECODERS), [...FP8_DECODERS]);
});

Deno.test("isExact() drops a decoder that flushes subnormals, errs in one code or writes nothing", () => {
  assert(isExact(VALUES));
  assert(isExact(VALUES.map((value) => Number.isNaN(value) ? 480 : value)), "NaN may be anything");
  assert(!isExact(VALUES.map((value) => Math.abs(value) < 2 ** -6 ? 0 : value)));
  assert(!isExact(VALUES.map((value, code) => code === 0x7e ? 449 : value)));
  assert(!isExact(VALUES.map(() => NaN)));
  assert(!isExact(VALUES.subarray(0, 255)));
});
