/** What the calculator says of the machine and the engine that were just measured. @module */
import { measureRates, type Rates } from "../../runtime/forecast/measure.ts";
import { besideMeasured, predict, type Prediction } from "../../runtime/forecast/predict.ts";
import { snapshotSubject } from "../../runtime/forecast/subject.ts";
import { openGpu } from "../../runtime/gpu/device.ts";
import type { OpenedEngine } from "../../runtime/open.ts";
import type { EngineOptions } from "../../runtime/options.ts";
import { readSnapshotConfig } from "../../runtime/snapshot.ts";
import { openSnapshot } from "../../weights/mod.ts";
import type { Row } from "./models.ts";
import { isFigure } from "./timing.ts";

/** A prediction for one sequence with next to no context, and the rates it is made from. */
export interface Predicted extends Prediction {
  readonly rates: Rates;
  /** Tokens of the prompt whose reading is predicted. */
  readonly promptTokens: number;
}

/** Predicts for an engine that was opened with these options; measures a device of its own, in a second or two. */
export async function predictedOf(
  { runner: { plan } }: OpenedEngine,
  options: Pick<EngineOptions, "model" | "maxSequences" | "context" | "chunkRows" | "kv">,
  prompts: readonly Row[],
): Promise<Predicted> {
  const gpu = await openGpu();
  const rates = await measureRates(gpu);
  gpu.device.destroy();
  const promptTokens = prompts.find(({ rate }) => isFigure(rate))?.size ?? 1;
  const snapshot = openSnapshot(options.model);
  try {
    const { config } = readSnapshotConfig(options.model);
    const tensors = Array.from(snapshot.names(), (name) => snapshot.tensor(name));
    const subject = snapshotSubject(options.model, config, tensors);
    const choice = { ...options, maxBinding: gpu.maxBinding };
    const load = { sequences: 1, context: 0, promptTokens };
    return { ...predict({ subject, choice, plan, rates }, load), rates, promptTokens };
  } finally {
    snapshot.close();
  }
}

/** The predictions beside what was measured. */
export function predictedLines(
  { decode, prefill, promptTokens }: Predicted,
  measured: { readonly decode: number; readonly prompts: readonly Row[] },
): string[] {
  const prompt = measured.prompts.find(({ size }) => size === promptTokens)?.rate;
  return [
    `  decode ${besideMeasured(decode, measured.decode)}`,
    ...(prompt && isFigure(prompt)
      ? [`  prefill of ${promptTokens} ${besideMeasured(prefill, prompt.value)}`]
      : []),
  ];
}
