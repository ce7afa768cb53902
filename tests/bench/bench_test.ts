import { assertEquals } from "@std/assert";
import { inventory, tensorBytes } from "../../runtime/synth/inventory.ts";
import { MEMBERS } from "../../runtime/synth/members.ts";
import { median } from "./bench.ts";
import { checkpoints } from "./checkpoints.ts";
import { type KernelReport, MATRICES } from "./kernels.ts";
import { bytesOf } from "./matrix_cases.ts";
import { kernelSeconds, weightBytesOfToken } from "./traffic.ts";

Deno.test("median() takes the middle, or the mean of the two", () => {
  assertEquals(median([7]), 7);
  assertEquals(median([9, 1, 5]), 5);
  assertEquals(median([9, 1, 5, 6]), 5.5);
});

Deno.test("weightBytesOfToken() of 35B-A3B is what its roofline is drawn with", () => {
  const { tensors, config } = inventory({ member: MEMBERS["35B-A3B"], format: "fp8" });
  const sized = tensors.map((tensor) => ({ name: tensor.name, byteLength: tensorBytes(tensor) }));
  assertEquals(weightBytesOfToken(sized, config), 3_481_438_336);
});

Deno.test("kernelSeconds() counts every matrix of a token once", () => {
  const { tensors, config } = inventory({ member: MEMBERS["35B-A3B"], format: "fp8" });
  // With kernels that take a second a byte, seconds are bytes.
  const alone = {
    ...Object.fromEntries(Object.entries(MATRICES).map(([key, m]) => [key, bytesOf(m)])),
    experts: 9 * 3_146_112,
  } as KernelReport["alone"];
  const report = { read: 1, copy: 1, kernels: [], alone };
  const matrices = tensors.filter(({ shape, name }) => shape.length === 2 || name.includes("_proj"))
    .map((tensor) => ({ name: tensor.name, byteLength: tensorBytes(tensor) }));
  assertEquals(
    kernelSeconds(report, config, MATRICES.head.n),
    weightBytesOfToken(matrices, config),
  );
});

Deno.test("checkpoints() always has a small model first, and the real sizes in the given folder", () => {
  const [small, ...real] = checkpoints("/nowhere");
  assertEquals(Deno.statSync(`${small!.folder}/config.json`).isFile, true);
  assertEquals(real.map(({ folder }) => folder), [
    "/nowhere/35B-A3B-4-layers-vocab-640",
    "/nowhere/35B-A3B-4-layers-vocab-16384",
  ]);
});
