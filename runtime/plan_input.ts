/** What the memory plan of a model is made from, for the engine at start and for forecasts without a device. @module */
import { type ExpertFormat, expertLayout } from "../shaders/common/expert_layout.ts";
import { int8ScaleCount, type QuantizeShape } from "../shaders/quantize/quantize.ts";
import { cacheSizes } from "./model/caches.ts";
import type { ModelConfig } from "./model/config.ts";
import { SCALE_SUFFIX } from "./model/names.ts";
import { DECODE_ROWS, type HeadFormat, type KvFormat, PAGE_TOKENS } from "./model/parts.ts";
import { rowsThatFit, scratchBytes, type StepBounds } from "./model/scratch.ts";
import { LONGEST_DEFAULT_CONTEXT, type PlanInput } from "./plan.ts";

/** A tensor of the snapshot, as far as it counts. */
export interface SizedTensor {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly byteLength: number;
}

/** What the engine would be started with. */
export interface PlanChoice {
  readonly maxBinding: number;
  readonly maxSequences: number;
  /** Null as in the engine's options. */
  readonly context: number | null;
  readonly chunkRows: number;
  readonly kv: KvFormat;
  /** As stored unless said. */
  readonly head?: HeadFormat;
  /** Whether decoding is to run ahead of the host. */
  readonly ahead?: boolean;
}

/** Earlier states of a sequence that are kept when it runs ahead: the start of its batch. */
export const KEPT_PASTS = 1;

/** The largest step that fits the device's bindings, before the context has been planned. */
export function largestStep(config: ModelConfig, choice: PlanChoice): StepBounds {
  const { maxBinding, maxSequences, context, chunkRows } = choice;
  const maxContext = context ?? Math.min(config.maxPositions, LONGEST_DEFAULT_CONTEXT);
  const wanted = { maxRows: chunkRows, maxSequences, maxContext };
  return { ...wanted, maxRows: Math.max(DECODE_ROWS, rowsThatFit(config, wanted, maxBinding)) };
}

/** Everything but the budget. */
export function planInput(
  config: ModelConfig,
  tensors: Iterable<SizedTensor>,
  choice: PlanChoice,
): Omit<PlanInput, "budget"> {
  const { maxBinding, maxSequences, context, kv } = choice;
  const sizes = cacheSizes(config, kv);
  const linear = config.layerKinds.filter((kind) => kind === "linear").length;
  const table = tableBytes(config, tensors, choice.head === "int8");
  const stateBinding = Math.max(sizes.stateSlot, sizes.convSlot);
  return {
    ...(choice.ahead && { ahead: { table, pasts: KEPT_PASTS, stateBinding } }),
    maxBinding,
    trunk: trunkBytes(config, [...tensors], choice.head === "int8"),
    activations: scratchBytes(config, largestStep(config, choice)),
    stateSlot: linear * (sizes.stateSlot + sizes.convSlot),
    kvPage: 2 * (config.layers - linear) * sizes.kvPage,
    kvPageBinding: sizes.kvPage,
    pageTokens: PAGE_TOKENS,
    maxSequences,
    context,
    maxPositions: config.maxPositions,
    experts: expertsOf(config, tensors),
  };
}

/** The routed experts and the size of their slots. */
function expertsOf(config: ModelConfig, tensors: Iterable<SizedTensor>): PlanInput["experts"] {
  const { mlp, hidden, layers } = config;
  if (mlp.kind === "dense") return null;
  const { stride } = expertLayout({ hidden, dff: mlp.dff, format: expertFormat(tensors) });
  return { layers, count: mlp.experts, topK: mlp.topK, stride };
}

/** How the routed experts are stored. */
export function expertFormat(tensors: Iterable<SizedTensor>): ExpertFormat {
  return isQuantised(tensors, "mlp.experts.") ? "fp8" : "bf16";
}

/** Whether the shared expert of a layer has a slot beside the routed ones: it is like them. */
export function sharedHasSlot({ mlp }: ModelConfig, tensors: readonly SizedTensor[]): boolean {
  return mlp.kind === "moe" && mlp.sharedDff === mlp.dff &&
    isQuantised(tensors, "mlp.experts.") === isQuantised(tensors, "mlp.shared_expert.");
}

/** The embedding table, where it is not the head as stored. */
function tableBytes(
  { tiedEmbeddings }: ModelConfig,
  tensors: Iterable<SizedTensor>,
  roundsHead: boolean,
): number {
  if (tiedEmbeddings && !roundsHead) return 0;
  const table = [...tensors].find(({ name }) => name.endsWith("embed_tokens.weight"));
  return Math.ceil((table?.byteLength ?? 0) / 16) * 16;
}

/** All of the text model but embedding table and routed experts; vectors are widened. */
function trunkBytes(
  config: ModelConfig,
  tensors: readonly SizedTensor[],
  roundsHead: boolean,
): number {
  const { tiedEmbeddings, layers } = config;
  const experts = expertsOf(config, tensors);
  const slotted = sharedHasSlot(config, tensors);
  let bytes = slotted ? layers * experts!.stride : 0;
  for (const { name, dtype, shape, byteLength } of tensors) {
    if (/^(mtp|model\.visual)\./.test(name) || name.includes(".mlp.experts.")) continue;
    if (slotted && name.includes(".mlp.shared_expert.")) continue;
    if (!tiedEmbeddings && name.endsWith("embed_tokens.weight")) continue;
    const isHead = name.endsWith(tiedEmbeddings ? "embed_tokens.weight" : "lm_head.weight");
    const widened = shape.length !== 2 && dtype === "BF16" ? 2 : 1;
    bytes += roundsHead && isHead && dtype === "BF16"
      ? int8Bytes({ rows: shape[0]!, k: shape[1]! })
      : Math.ceil(byteLength * widened / 16) * 16;
  }
  return bytes;
}

/** A matrix of 8-bit codes and its scales. */
function int8Bytes(shape: QuantizeShape): number {
  return Math.ceil((shape.rows * shape.k + 2 * int8ScaleCount(shape)) / 16) * 16;
}

function isQuantised(tensors: Iterable<SizedTensor>, part: string): boolean {
  return [...tensors].some(({ name }) => name.includes(part) && name.endsWith(SCALE_SUFFIX));
}
