/** What `plan` predicts for an engine on the device as it is measured now. @module */
import type { Derived } from "../../runtime/forecast/derived.ts";
import { measureRates } from "../../runtime/forecast/measure.ts";
import { predict, type RunningEngine } from "../../runtime/forecast/predict.ts";
import type { ProductVariant } from "../../shaders/common/variants.ts";
import type { Gpu } from "../../runtime/gpu/device.ts";

/** Predicts tokens a second. */
export interface Predictor {
  /** Dispatches of a step of one sequence. */
  readonly dispatches: number;
  /** Of all sequences together, each after `context` tokens. */
  decode(sequences: number, context: number): Derived;
  /** Of a prompt. */
  prefill(promptTokens: number): Derived;
}

/** Measures the device, and predicts from what was found. */
export async function predictor(
  engine: Omit<RunningEngine, "rates" | "software">,
  { gpu, variant }: { readonly gpu: Gpu; readonly variant: ProductVariant },
): Promise<Predictor> {
  const running = {
    ...engine,
    rates: await measureRates(gpu, { variant }),
    software: gpu.software,
  };
  return {
    dispatches: predict(running, { sequences: 1, context: 0, promptTokens: 1 }).dispatches,
    decode: (sequences, context) =>
      predict(running, { sequences, context, promptTokens: 1 }).decode,
    prefill: (promptTokens) => predict(running, { sequences: 1, context: 0, promptTokens }).prefill,
  };
}
