import { assert, assertEquals, assertRejects } from "@std/assert";
import { DeviceLostError, lossOf, unlessLost } from "../../../runtime/gpu/loss.ts";
import { openTestEngine } from "../../engine_fixture.ts";
import { PlanError } from "../../../runtime/plan.ts";
import { loadOracleCase } from "../../oracle_case.ts";

/** As much of a device as is watched. */
class FakeDevice extends EventTarget {
  readonly #lost = Promise.withResolvers<{ reason: string; message: string }>();
  readonly lost = this.#lost.promise;

  lose(message: string, reason = "unknown"): void {
    this.#lost.resolve({ reason, message });
  }

  report(error: GPUError): void {
    this.dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error }));
  }
}

const watched = (device: FakeDevice) => lossOf(device as unknown as GPUDevice);

Deno.test("lossOf() tells a lost device, an error that nobody caught, and an allocation that failed", async () => {
  const loss = async (happens: (device: FakeDevice) => void) => {
    const device = new FakeDevice();
    const lost = watched(device);
    happens(device);
    const { message, outOfMemory } = await lost;
    return [message, outOfMemory];
  };
  assertEquals(await loss((device) => device.lose("unplugged")), [
    "The GPU device was lost: unplugged",
    false,
  ]);
  assertEquals(await loss((device) => device.report(new GPUValidationError("wrong"))), [
    "The GPU reported an error: wrong",
    false,
  ]);
  assertEquals(
    await loss((device) => {
      device.lose("closed", "destroyed"); // by its owner: no loss
      device.report(new GPUValidationError("later"));
    }),
    ["The GPU reported an error: later", false],
  );
  const [message, outOfMemory] = await loss((device) =>
    device.report(new GPUOutOfMemoryError("x"))
  );
  assert(outOfMemory, `${message}`);
});

Deno.test("unlessLost() gives the result, or the loss at once", async () => {
  const device = new FakeDevice();
  const lost = watched(device);
  assertEquals(await unlessLost(Promise.resolve(3), lost), 3);
  const forever = unlessLost(new Promise<never>(() => {}), lost);
  device.lose("unplugged");
  await assertRejects(() => forever, DeviceLostError, "unplugged");
});

Deno.test("openEngine() asks for a lower --vram at once when the card is full, where it once loaded on", async () => {
  const { dir } = loadOracleCase("tiny_fp8");
  const requestDevice = GPUAdapter.prototype.requestDevice;
  let device: GPUDevice | undefined;
  let isLoaded = false;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    return device = await requestDevice.call(this, descriptor);
  };
  try {
    const opening = openTestEngine(dir, {}, {
      onStatus: (status) => {
        if (status.state !== "loading") return;
        isLoaded ||= status.phase === "kernels";
        const error = new GPUOutOfMemoryError("not enough memory left");
        device?.dispatchEvent(new GPUUncapturedErrorEvent("uncapturederror", { error }));
      },
    });
    await assertRejects(() => opening, PlanError, "lower --vram");
    assertEquals(isLoaded, false);
  } finally {
    GPUAdapter.prototype.requestDevice = requestDevice;
  }
});
