/** The benchmark's tables. @module */
import { besideMeasured } from "../../runtime/forecast/predict.ts";
import type { KernelResult } from "./kernel_case.ts";
import type { KernelReport } from "./kernels.ts";
import type { DecodeResult } from "./decode_rounds.ts";
import type { ModelResult, Row } from "./models.ts";
import type { PagingResult } from "./paging.ts";
import type { StartResult } from "./startup.ts";
import { isFigure } from "./timing.ts";

/** One kernel's line. */
export function kernelLine(
  { name, limit, seconds, bytes, flops, ofCeiling }: KernelResult,
): string {
  const rate = limit === "bytes"
    ? `${digits(bytes / seconds / 1e9)} GB/s, ${percent(ofCeiling)} of read`
    : `${digits(flops / seconds / 1e9)} GFLOP/s, ${percent(ofCeiling)} of FMA`;
  return `  ${name.padEnd(54)}${digits(seconds * 1000).padStart(8)} ms  ${rate}`;
}

/** What the device reaches at most. */
export function ceilingLine({ read, copy, fma }: KernelReport): string {
  return `  read ${digits(read / 1e9)} GB/s, copy ${digits(copy / 1e9)} GB/s, ` +
    `multiply-add ${digits(fma / 1e9)} GFLOP/s`;
}

/** One model's lines. */
export function modelLines(result: ModelResult): string {
  const { name, error, decode, weightBytesPerToken } = result;
  const { dispatchesPerToken, predictedDispatches } = result;
  const ratios = [
    `${digits(decode.weights / 1e9)} GB/s of weights`,
    `${percent(decode.ofCopy)} of copy`,
    `${percent(decode.ofRead)} of read`,
    ...(decode.alone ? [aloneText(decode.alone)] : []),
  ];
  return [
    `${name} (log-probabilities within ${error.toExponential(1)})`,
    `  decode ${digits(decode.value)} tokens/s, median of ${decode.runs}: ${ratios.join(", ")}`,
    `  ${besideMeasured(decode.predicted, decode.value)}`,
    `  ${dispatchesPerToken} dispatches (predicted ${predictedDispatches}) and ${
      digits(weightBytesPerToken / 1e6)
    } MB a token`,
    ...rows("decode after", "tokens", result.contexts),
    ...rows("prefill of", "tokens", result.prompts),
    ...rows("decode of", "sequences", result.batches),
  ].join("\n");
}

/** How much of a token's time its matrices take by themselves. */
function aloneText({ share, ofPool, ofCpu }: NonNullable<DecodeResult["alone"]>): string {
  const cpu = ofCpu === null ? "" : `${percent(ofCpu)} by processor time, `;
  return `kernels alone ${percent(share)} of the time (${cpu}${
    percent(ofPool)
  } with the experts in the engine's buffers)`;
}

/** A model under several budgets, line by line. */
export function pagingLines({ name, experts, prompts, tokens, rows }: PagingResult): string {
  return [
    `paging of ${name}: ${experts} experts a layer, ${prompts} prompts, ${tokens} tokens from a cold start`,
    ...rows.map((row) => {
      const { slots, hitRate, predictedHitRate, bytes, predictedBytes, rate, residentRate } = row;
      return [
        `  ${String(slots).padStart(3)} slots: ${points(hitRate)} hits (replay ${
          points(predictedHitRate)
        })`,
        `${digits(bytes / 1e6)} MB loaded (replay ${digits(predictedBytes / 1e6)})`,
        `decode ${digits(rate)} tokens/s against ${digits(residentRate)} all resident`,
      ].join(", ");
    }),
  ].join("\n");
}

/** One kind of start. */
export function startLine({ name, cache, runs, ...seconds }: StartResult): string {
  const { listening, ready, firstToken } = seconds;
  return `  ${name}, ${cache} page cache: listening after ${digits(listening)} s, ready after ${
    digits(ready)
  } s, first token after ${digits(firstToken)} s, medians of ${runs}`;
}

/** Three digits that count. */
export function digits(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}

/** A share in percent. */
export function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

function points(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

function rows(what: string, unit: string, list: readonly Row[]): string[] {
  return list.map(({ size, rate, predicted, overOne }) => {
    const figure = isFigure(rate)
      ? `${digits(rate.value)} tokens/s${rate.runs > 1 ? "" : ", one run"}, ` +
        `predicted ${digits(predicted)}${
          overOne === undefined ? "" : `, ${digits(overOne)} times one in turn with it`
        }`
      : `left out: ${rate.leftOut}`;
    return `  ${`${what} ${size} ${unit}`.padEnd(28)}${figure}`;
  });
}
