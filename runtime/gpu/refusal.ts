/** Tries what a device may refuse. @module */

/**
 * What `work` comes to, or null if the device refused a part of it: a kernel that is not valid, or that its driver fails
 * to compile. Such an error is nobody else's then; uncaught it would end the device (`loss.ts`).
 */
export async function unlessRefused<T>(
  device: GPUDevice,
  work: () => Promise<T>,
): Promise<T | null> {
  device.pushErrorScope("internal");
  device.pushErrorScope("validation");
  const [outcome] = await Promise.allSettled([work()]);
  const errors = [await device.popErrorScope(), await device.popErrorScope()];
  if (errors.some((error) => error !== null)) return null;
  if (outcome.status === "rejected") throw outcome.reason;
  return outcome.value;
}
