import { assertEquals, assertRejects } from "@std/assert";
import { unlessRefused } from "../../../runtime/gpu/refusal.ts";
import { gpu } from "../../gpu.ts";

Deno.test("unlessRefused() gives null for what a device refuses, and leaves no error to anyone else", async () => {
  const { device } = await gpu();
  const uncaptured: string[] = [];
  const note = (event: Event) => {
    event.preventDefault();
    uncaptured.push((event as GPUUncapturedErrorEvent).error.message);
  };
  device.addEventListener("uncapturederror", note);
  const buffer = (usage: number) => () => {
    device.createBuffer({ size: 16, usage }).destroy();
    return Promise.resolve("made");
  };
  assertEquals(await unlessRefused(device, buffer(GPUBufferUsage.STORAGE)), "made");
  assertEquals(await unlessRefused(device, buffer(0)), null);
  const failing = () => unlessRefused(device, () => Promise.reject(new TypeError("wrong")));
  await assertRejects(failing, TypeError, "wrong");
  // Every scope was closed: the next error is uncaptured again.
  await buffer(0)();
  await new Promise((resolve) => setTimeout(resolve, 20));
  device.removeEventListener("uncapturederror", note);
  assertEquals(uncaptured.length, 1);
});
