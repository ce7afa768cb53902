/** Notices that a device is gone, and keeps nobody waiting for it. @module */

/** A device that is gone, or has reported an error that belongs to no one's call: what it computes means nothing now. */
export class DeviceLostError extends Error {
  override name = "DeviceLostError";
  /** `outOfMemory`: an allocation failed; another device would not do better. */
  constructor(message: string, readonly outOfMemory = false) {
    super(message);
  }
}

/** Resolves with the first sign of loss; a device that was closed by its owner is not lost. */
export function lossOf(device: GPUDevice): Promise<DeviceLostError> {
  return new Promise((resolve) => {
    device.addEventListener("uncapturederror", (event) => {
      event.preventDefault();
      const { error } = event as GPUUncapturedErrorEvent;
      const outOfMemory = error instanceof GPUOutOfMemoryError;
      resolve(new DeviceLostError(`The GPU reported an error: ${error.message}`, outOfMemory));
    });
    device.lost.then(({ reason, message }) => {
      if (reason === "destroyed") return;
      resolve(new DeviceLostError(`The GPU device was lost: ${message}`));
    });
  });
}

/**
 * What `work` comes to, unless the device is lost before it ends; `work` itself is not stopped.
 * @throws {DeviceLostError} then
 */
export async function unlessLost<T>(
  work: Promise<T>,
  lost: Promise<DeviceLostError>,
): Promise<T> {
  return await Promise.race([work, lost.then((error) => Promise.reject(error))]);
}
