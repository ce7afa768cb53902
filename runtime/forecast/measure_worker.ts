/** Measures this machine's device in a thread of its own, posts the result and ends. @module */
import { variantOf } from "../../shaders/common/variants.ts";
import { openGpu } from "../gpu/device.ts";
import type { MeasuredDevice, MeasureRequest } from "./own_device.ts";
import { measureRates, type Rates } from "./measure.ts";
import { rateKey, rateNotes } from "./rate_notes.ts";

declare const self: {
  onmessage: ((event: MessageEvent<MeasureRequest>) => void) | null;
  postMessage(message: MeasuredDevice | { readonly error: string }): void;
  close(): void;
};

self.onmessage = async ({ data }) => {
  try {
    self.postMessage(await measured(data));
  } catch (error) {
    self.postMessage({ error: (error as Error).message });
  }
  self.close();
};

/** Remembered, or else measured and kept. */
async function measured({ cacheDir, kernels }: MeasureRequest): Promise<MeasuredDevice> {
  const gpu = await openGpu();
  try {
    const { maxBinding, software } = gpu;
    const variant = kernels === null ? undefined : variantOf(kernels);
    if (cacheDir === null) {
      return { rates: await measureRates(gpu, variant && { variant }), maxBinding, software };
    }
    const notes = rateNotes(cacheDir);
    const key = await rateKey(gpu, variant);
    let rates = tried(() => notes.read(key));
    if (rates === null) {
      const found: Rates = rates = await measureRates(gpu, variant && { variant });
      // Without the kernels it is half a measurement: there may be room for them next time.
      if (found.kernels) tried(() => notes.write(key, found));
    }
    return { rates, maxBinding, software };
  } finally {
    gpu.device.destroy();
  }
}

/** What cannot be remembered is measured again: an answer does not fail for it. */
function tried<T>(act: () => T): T | null {
  try {
    return act();
  } catch (error) {
    console.error(`deltapage: warning: rates are not remembered: ${(error as Error).message}`);
    return null;
  }
}
