/** Measures this machine's device in a thread of its own, posts the result and ends. @module */
import { openGpu } from "../gpu/device.ts";
import type { MeasuredDevice } from "./own_device.ts";
import { measureRates } from "./measure.ts";

declare const self: {
  postMessage(message: MeasuredDevice | { readonly error: string }): void;
  close(): void;
};

try {
  const gpu = await openGpu();
  const rates = await measureRates(gpu);
  self.postMessage({ rates, maxBinding: gpu.maxBinding, software: gpu.software });
  gpu.device.destroy();
} catch (error) {
  self.postMessage({ error: (error as Error).message });
}
self.close();
