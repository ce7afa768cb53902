/** Lines about decoding: the rate, and the sums that it is held against. @module */
import { decodeSpeed } from "../../runtime/forecast/decode.ts";
import { decimal, digits, percent, time } from "../../runtime/forecast/derived.ts";
import { memoryInput } from "../../runtime/forecast/estimate.ts";
import type { Rates } from "../../runtime/forecast/measure.ts";
import { aheadBound } from "../../runtime/engine/pace.ts";
import { ownDevice } from "../../runtime/forecast/own_device.ts";
import { besideMeasured, predict } from "../../runtime/forecast/predict.ts";
import type { OpenRun } from "./open_run.ts";
import type { Report } from "./finding.ts";
import { PROMPT } from "./workload.ts";

/** What was measured. */
export interface Decoded {
  /** Seconds of a token. */
  readonly step: number;
  readonly tokens: number;
  /** Experts that were found, and that had to come in, during the prompt and all tokens. */
  readonly hits: number;
  readonly misses: number;
}

/** Tells the rate, its part of the roofline, what was predicted, and what the link allows. */
export function tellDecode(report: Report, run: OpenRun, decoded: Decoded): void {
  const { name, engine, rates } = run;
  const { step, hits, misses } = decoded;
  const { plan: { expertSlots: slots }, residency } = engine.runner;
  const share = hits + misses === 0 ? 1 : hits / (hits + misses);
  const bytes = bytesOfToken(run);
  const roofline = rates === null ? null : bytes.value / step / rates.read;
  const paged = misses > 0 ? `, hits ${percent(share)} at ${slots} slots a layer` : "";
  report({
    section: "speed",
    name: `${name}: decode`,
    found: `${digits(1 / step)} tokens/s` +
      (roofline === null ? "" : `, ${percent(roofline)} of the bandwidth roofline`) + paged +
      (residency ? `; experts ${residency.mode}, ${residency.reason}` : ""),
    how: `${decoded.tokens} tokens; roofline: ${bytes.formula}, over the measured rate of reading`,
    data: {
      tokensPerSecond: 1 / step,
      roofline,
      hits: share,
      slots,
      bytesPerToken: bytes.value,
      residency: residency?.mode ?? null,
    },
  });
  if (rates === null) return;
  tellPrediction(report, run, step, rates);
  if (misses > 0) tellLinkShare(report, run, { step, hits: share, rates });
}

function bytesOfToken({ subject, choice, engine, rates }: OpenRun) {
  const input = memoryInput({ subject, choice });
  const { plan } = engine.runner;
  const any = rates ?? { read: 1, upload: 1, flops: 1, dispatch: 1, kernels: null };
  const device = ownDevice("", plan.budget, { rates: any, software: false });
  const speed = { subject, choice, input, plan, device, paging: "paged", ahead: false } as const;
  return decodeSpeed(speed, { sequences: 1, context: PROMPT }).bytes;
}

function tellPrediction(
  report: Report,
  { name, subject, choice, software, engine: { runner } }: OpenRun,
  step: number,
  rates: Rates,
): void {
  const paging = runner.residency?.mode === "host" ? "host" : "paged";
  const ahead = aheadBound(null, software) > 1;
  const { decode, hitRate } = predict(
    { subject, choice, plan: runner.plan, rates, paging, software, ahead },
    { sequences: 1, context: PROMPT, promptTokens: PROMPT },
  );
  report({
    section: "speed",
    name: `${name}: as predicted`,
    found: besideMeasured(decode, 1 / step),
    how: `hits predicted ${percent(hitRate.value)}`,
    data: { predicted: decode.value, predictedHits: hitRate.value },
  });
}

/** What is left of 1 / (step with everything resident + missed bytes / rate of the link). */
function tellLinkShare(
  report: Report,
  { name, subject, choice, residentStep }: OpenRun,
  { step, hits, rates }: { readonly step: number; readonly hits: number; readonly rates: Rates },
): void {
  const { experts } = memoryInput({ subject, choice });
  if (residentStep === null || !experts) return;
  const missed = experts.layers * experts.topK * experts.stride * (1 - hits);
  const ideal = residentStep + missed / rates.upload;
  report({
    section: "speed",
    name: `${name}: of what the link allows`,
    found: percent(ideal / step),
    how: `(${time(residentStep)} with everything resident + ${decimal(missed)} / ${
      decimal(rates.upload)
    }/s) / ${time(step)}`,
    data: { share: ideal / step },
  });
}
