/**
 * Which tensors a snapshot of the family must hold, under which names, shapes and dtypes. Official FP8
 * snapshots split the experts into 2-D matrices with a scale each; BF16 ones fuse them into 3-D tensors.
 * @module
 */
import type { ModelConfig } from "./config.ts";

/** What one tensor must look like. */
export interface TensorRule {
  readonly shape: readonly number[];
  /** Accepted safetensors dtypes. */
  readonly dtypes: readonly string[];
}

/** The dtype of a tensor of the snapshot; undefined when it has no such tensor. */
export type DtypeLookup = (name: string) => string | undefined;

/** Suffix of the tensor that scales an FP8 weight: its name is the weight's name plus this. */
export const SCALE_SUFFIX = "_scale_inv";

/** Edge of the square blocks that share one FP8 scale. */
export const SCALE_BLOCK = 128;

const WRAPPED_PREFIX = "model.language_model.";
const TEXT_PREFIX = "model.";
const VECTOR = ["BF16", "F32"];
const MATRIX = ["BF16"];

/** What stands before `embed_tokens.weight` and `layers.`: text-only snapshots leave out a part. */
export function textPrefix(dtypeOf: DtypeLookup): string {
  const bare = dtypeOf(`${TEXT_PREFIX}embed_tokens.weight`) !== undefined;
  return bare ? TEXT_PREFIX : WRAPPED_PREFIX;
}

/** What stands before the tensors of layer `index`. */
export function layerPrefix(prefix: string, index: number): string {
  return `${prefix}layers.${index}.`;
}

/** The matrix that turns the last hidden state into logits. */
export function headName(config: ModelConfig, prefix: string): string {
  return config.tiedEmbeddings ? `${prefix}embed_tokens.weight` : "lm_head.weight";
}

/** Whether a layer's routed experts are two 3-D tensors instead of 2-D matrices an expert. */
export function hasFusedExperts(layer: string, dtypeOf: DtypeLookup): boolean {
  return dtypeOf(`${layer}mlp.experts.gate_up_proj`) !== undefined;
}

/**
 * Every tensor of the text model with the shape and dtypes it must have. Vision and MTP tensors are not
 * asked for. Where the snapshot has neither layout of something, the official FP8 one is named.
 */
export function expectedTensors(
  config: ModelConfig,
  dtypeOf: DtypeLookup,
): ReadonlyMap<string, TensorRule> {
  const rules = new Rules(dtypeOf);
  const prefix = textPrefix(dtypeOf);
  rules.plain(`${prefix}embed_tokens.weight`, [config.vocab, config.hidden]);
  config.layerKinds.forEach((kind, index) => {
    const layer = layerPrefix(prefix, index);
    rules.vector(`${layer}input_layernorm.weight`, [config.hidden]);
    if (kind === "linear") addDelta(rules, `${layer}linear_attn.`, config);
    else addAttention(rules, `${layer}self_attn.`, config);
    rules.vector(`${layer}post_attention_layernorm.weight`, [config.hidden]);
    addMlp(rules, layer, config);
  });
  rules.vector(`${prefix}norm.weight`, [config.hidden]);
  if (!config.tiedEmbeddings) rules.plain("lm_head.weight", [config.vocab, config.hidden]);
  return rules.map;
}

class Rules {
  readonly map = new Map<string, TensorRule>();
  readonly dtypeOf: DtypeLookup;

  constructor(dtypeOf: DtypeLookup) {
    this.dtypeOf = dtypeOf;
  }

  /** A small tensor that is widened to f32 at load. */
  vector(name: string, shape: readonly number[]): void {
    this.map.set(name, { shape, dtypes: VECTOR });
  }

  /** A matrix that is never quantised. */
  plain(name: string, shape: readonly number[]): void {
    this.map.set(name, { shape, dtypes: MATRIX });
  }

  /** A matrix that is FP8 where its scale stands beside it; `like` names one that decides instead. */
  matrix(name: string, shape: readonly [number, number], like = name): void {
    const fp8 = this.dtypeOf(like) === "F8_E4M3" ||
      this.dtypeOf(like + SCALE_SUFFIX) !== undefined;
    this.map.set(name, { shape, dtypes: fp8 ? ["F8_E4M3"] : MATRIX });
    if (!fp8) return;
    const blocks = shape.map((size) => Math.ceil(size / SCALE_BLOCK));
    this.map.set(name + SCALE_SUFFIX, { shape: blocks, dtypes: MATRIX });
  }
}

function addDelta(rules: Rules, at: string, { hidden, delta }: ModelConfig): void {
  const { keyHeads, valueHeads, keyDim, valueDim, convKernel } = delta;
  const channels = 2 * keyHeads * keyDim + valueHeads * valueDim;
  rules.matrix(`${at}in_proj_qkv.weight`, [channels, hidden]);
  rules.matrix(`${at}in_proj_z.weight`, [valueHeads * valueDim, hidden]);
  rules.plain(`${at}in_proj_b.weight`, [valueHeads, hidden]);
  rules.plain(`${at}in_proj_a.weight`, [valueHeads, hidden]);
  rules.vector(`${at}conv1d.weight`, [channels, 1, convKernel]);
  rules.vector(`${at}A_log`, [valueHeads]);
  rules.vector(`${at}dt_bias`, [valueHeads]);
  rules.vector(`${at}norm.weight`, [valueDim]);
  rules.matrix(`${at}out_proj.weight`, [hidden, valueHeads * valueDim]);
}

function addAttention(rules: Rules, at: string, { hidden, attention }: ModelConfig): void {
  const { heads, kvHeads, headDim } = attention;
  rules.matrix(`${at}q_proj.weight`, [2 * heads * headDim, hidden]); // per head [query | gate]
  rules.matrix(`${at}k_proj.weight`, [kvHeads * headDim, hidden]);
  rules.matrix(`${at}v_proj.weight`, [kvHeads * headDim, hidden]);
  rules.matrix(`${at}o_proj.weight`, [hidden, heads * headDim]);
  rules.vector(`${at}q_norm.weight`, [headDim]);
  rules.vector(`${at}k_norm.weight`, [headDim]);
}

function addMlp(rules: Rules, layer: string, { hidden, mlp }: ModelConfig): void {
  if (mlp.kind === "dense") return addSwiglu(rules, `${layer}mlp.`, hidden, mlp.dff);
  rules.plain(`${layer}mlp.gate.weight`, [mlp.experts, hidden]);
  addExperts(rules, layer, hidden, mlp);
  addSwiglu(rules, `${layer}mlp.shared_expert.`, hidden, mlp.sharedDff);
  rules.plain(`${layer}mlp.shared_expert_gate.weight`, [1, hidden]);
}

function addSwiglu(rules: Rules, at: string, hidden: number, dff: number): void {
  rules.matrix(`${at}gate_proj.weight`, [dff, hidden]);
  rules.matrix(`${at}up_proj.weight`, [dff, hidden]);
  rules.matrix(`${at}down_proj.weight`, [hidden, dff]);
}

function addExperts(
  rules: Rules,
  layer: string,
  hidden: number,
  mlp: { readonly experts: number; readonly dff: number },
): void {
  const at = `${layer}mlp.experts.`;
  if (hasFusedExperts(layer, rules.dtypeOf)) {
    rules.plain(`${at}gate_up_proj`, [mlp.experts, 2 * mlp.dff, hidden]); // [gate | up] an expert
    rules.plain(`${at}down_proj`, [mlp.experts, hidden, mlp.dff]);
    return;
  }
  // One slot geometry holds all experts of a layer, so expert 0 decides the format of the others.
  const first = `${at}0.gate_proj.weight`;
  for (let expert = 0; expert < mlp.experts; expert++) {
    rules.matrix(`${at}${expert}.gate_proj.weight`, [mlp.dff, hidden], first);
    rules.matrix(`${at}${expert}.up_proj.weight`, [mlp.dff, hidden], first);
    rules.matrix(`${at}${expert}.down_proj.weight`, [hidden, mlp.dff], first);
  }
}
