/** What a token costs by the numbers: bytes that must be read, and seconds that the kernels take alone. @module */
import type { ModelConfig } from "../../runtime/model/config.ts";
import type { AloneSeconds } from "./alone.ts";
import { MATRICES } from "./kernels.ts";

/** Bytes of weights that decoding one token reads: all but the embedding table and the experts not chosen. */
export function weightBytesOfToken(
  tensors: Iterable<{ readonly name: string; readonly byteLength: number }>,
  config: ModelConfig,
): number {
  const { mlp } = config;
  const used = mlp.kind === "moe" ? mlp.topK / mlp.experts : 1;
  let bytes = 0;
  for (const { name, byteLength } of tensors) {
    if (/^(mtp|model\.visual)\./.test(name)) continue;
    if (name.endsWith("embed_tokens.weight") && !config.tiedEmbeddings) continue;
    bytes += name.includes(".mlp.experts.") ? byteLength * used : byteLength;
  }
  return Math.round(bytes);
}

/** Seconds that the matrices of one token of a model with the sizes of 35B-A3B take, each kernel by itself. */
export function kernelSeconds(alone: AloneSeconds, config: ModelConfig): number {
  const linear = alone.qkvz + alone.ba + alone.deltaOut;
  const full = alone.qkv + alone.attentionOut;
  const moe = alone.router + alone.experts;
  const layers = config.layerKinds.reduce(
    (sum, kind) => sum + moe + (kind === "linear" ? linear : full),
    0,
  );
  return layers + headSeconds(alone, config);
}

/** The head's part of it: as much of the measured one as there are rows. */
export function headSeconds(alone: AloneSeconds, { vocab }: ModelConfig): number {
  return alone.head * vocab / MATRICES.head.n;
}
