/**
 * `config.json` and `generation_config.json` of a Qwen3.5 snapshot as frozen values. Every field that the
 * engine relies on is checked here, once; past this file sizes are trusted.
 * @module
 */
import { ConfigError, Fields } from "./fields.ts";
import { parseRope, type RopeConfig, ropeFields } from "./rope_config.ts";

export { ConfigError };
export type { RopeConfig, RopeScaling } from "./rope_config.ts";

/** What mixes tokens in a layer: Gated DeltaNet or gated full attention. */
export type LayerKind = "linear" | "full";

/** Sizes of the gated full attention. */
export interface AttentionConfig {
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  /** Leading dimensions of a head that are rotated; even. */
  readonly rotaryDim: number;
  /** q_proj carries a gate of the query's size in the second half of each head. */
  readonly outputGate: true;
}

/** Sizes of the Gated DeltaNet. */
export interface DeltaConfig {
  readonly keyHeads: number;
  /** A multiple of `keyHeads`: value head h reads key head floor(h * keyHeads / valueHeads). */
  readonly valueHeads: number;
  readonly keyDim: number;
  readonly valueDim: number;
  /** Taps of the causal convolution; the last one is the current token. */
  readonly convKernel: number;
}

/** What follows the mixer in every layer. */
export type MlpConfig =
  | {
    readonly kind: "moe";
    readonly experts: number;
    readonly topK: number;
    readonly dff: number;
    readonly sharedDff: number;
  }
  | { readonly kind: "dense"; readonly dff: number };

/** A model of the family. */
export interface ModelConfig {
  readonly hidden: number;
  readonly layers: number;
  /** One entry a layer. */
  readonly layerKinds: readonly LayerKind[];
  readonly attention: AttentionConfig;
  readonly delta: DeltaConfig;
  readonly mlp: MlpConfig;
  readonly rmsEps: number;
  readonly vocab: number;
  /** Positions the model knows, YaRN included. */
  readonly maxPositions: number;
  readonly rope: RopeConfig;
  /** The output head is the embedding table. */
  readonly tiedEmbeddings: boolean;
  /** End-of-text ids named by config.json; generation_config.json usually names more. */
  readonly eosIds: readonly number[];
  /** Written by this project's own tools with random weights: never an official snapshot. */
  readonly synthetic: boolean;
  readonly hasVision: boolean;
  readonly mtpLayers: number;
}

/** Sampling defaults of a snapshot; what it does not name is absent. */
export interface GenerationDefaults {
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly presencePenalty?: number;
  readonly eosIds: readonly number[];
}

const WRAPPERS = ["qwen3_5_moe", "qwen3_5"] as const;
const TEXT_MODELS = ["qwen3_5_moe_text", "qwen3_5_text"] as const;

/**
 * Checks a parsed config.json: the wrapping form with `text_config`, or a bare text model.
 * @throws {ConfigError} naming the first field that is missing or outside what the kernels support.
 */
export function parseConfig(json: unknown, file = "config.json"): ModelConfig {
  const top = new Fields(file, "", json);
  const modelType = top.choice("model_type", [...WRAPPERS, ...TEXT_MODELS]);
  const wrapped = modelType === "qwen3_5_moe" || modelType === "qwen3_5";
  const text = wrapped ? top.child("text_config") : top;
  const moe = modelType.startsWith("qwen3_5_moe");
  checkSupported(top, text, moe);

  const layerKinds = parseLayerKinds(text);
  const attention = parseAttention(text);
  const rope = parseRope(text);
  return Object.freeze({
    hidden: text.integer("hidden_size", { multipleOf: 16, max: 16384 }),
    layers: layerKinds.length,
    layerKinds,
    attention,
    delta: parseDelta(text),
    mlp: moe ? parseMoe(text) : parseDense(text),
    rmsEps: text.number("rms_norm_eps", { above: 0, atMost: 0.01 }),
    vocab: text.integer("vocab_size", { max: 2 ** 24 }),
    maxPositions: parseMaxPositions(text, rope),
    rope,
    tiedEmbeddings: (top.has("tie_word_embeddings") ? top : text).flag(
      "tie_word_embeddings",
      false,
    ),
    eosIds: (text.has("eos_token_id") ? text : top).integers("eos_token_id"),
    synthetic: top.flag("synthetic", false),
    hasVision: top.has("vision_config"),
    mtpLayers: text.integer("mtp_num_hidden_layers", { min: 0, fallback: 0 }),
  });
}

/**
 * Checks a parsed generation_config.json.
 * @throws {ConfigError} naming the first field that is out of range.
 */
export function parseGenerationConfig(
  json: unknown,
  file = "generation_config.json",
): GenerationDefaults {
  const fields = new Fields(file, "", json);
  const optional = <K extends string>(key: K, name: string, read: () => number) =>
    fields.has(name) ? { [key]: read() } as Record<K, number> : {};
  const greedy = !fields.flag("do_sample", true);
  return Object.freeze({
    ...(greedy ? { temperature: 0 } : optional(
      "temperature",
      "temperature",
      () => fields.number("temperature", { atLeast: 0 }),
    )),
    ...optional("topK", "top_k", () => fields.integer("top_k", { min: 0 })),
    ...optional("topP", "top_p", () => fields.number("top_p", { above: 0, atMost: 1 })),
    ...optional("minP", "min_p", () => fields.number("min_p", { atLeast: 0, atMost: 1 })),
    ...optional(
      "repetitionPenalty",
      "repetition_penalty",
      () => fields.number("repetition_penalty", { above: 0 }),
    ),
    ...optional("presencePenalty", "presence_penalty", () => fields.number("presence_penalty")),
    eosIds: fields.integers("eos_token_id"),
  });
}

function checkSupported(top: Fields, text: Fields, moe: boolean): void {
  text.choice(
    "model_type",
    moe ? ["qwen3_5_moe_text"] : ["qwen3_5_text"],
    TEXT_MODELS[moe ? 0 : 1],
  );
  text.choice("hidden_act", ["silu"], "silu");
  text.choice("output_gate_type", ["swish", "silu"], "swish");
  text.must("attention_bias", false);
  text.must("attn_output_gate", true);
  const holder = top.has("quantization_config") ? top : text;
  if (!holder.has("quantization_config")) return;
  const quantization = holder.child("quantization_config");
  quantization.choice("quant_method", ["fp8"]);
  quantization.choice("fmt", ["e4m3"], "e4m3");
  const block = quantization.raw("weight_block_size");
  if (JSON.stringify(block) !== "[128,128]") {
    throw quantization.error("weight_block_size", "[128,128]");
  }
}

function parseLayerKinds(text: Fields): readonly LayerKind[] {
  const layers = text.integer("num_hidden_layers", { max: 1024 });
  const types = text.raw("layer_types");
  if (types === undefined) {
    const interval = text.integer("full_attention_interval", { max: 1024, fallback: 4 });
    const kinds = Array.from({ length: layers }, (_, i) => (i + 1) % interval ? "linear" : "full");
    return Object.freeze(kinds as LayerKind[]);
  }
  const names = { linear_attention: "linear", full_attention: "full" } as const;
  const kinds = (Array.isArray(types) ? types : []).map((type) =>
    names[type as keyof typeof names]
  );
  if (kinds.length === layers && !kinds.includes(undefined as never)) return Object.freeze(kinds);
  throw text.error("layer_types", `${layers} entries "linear_attention" or "full_attention"`);
}

function parseAttention(text: Fields): AttentionConfig {
  const heads = text.integer("num_attention_heads", { max: 1024 });
  const kvHeads = text.integer("num_key_value_heads", { max: heads });
  if (heads % kvHeads !== 0) {
    throw text.error("num_key_value_heads", `a divisor of num_attention_heads (${heads})`);
  }
  const headDim = text.integer("head_dim", { min: 16, max: 256, powerOfTwo: true });
  const holder = ropeFields(text);
  const inside = holder.has("partial_rotary_factor");
  const fraction = (inside ? holder : text)
    .number("partial_rotary_factor", { above: 0, atMost: 1, fallback: 0.25 });
  const rotaryDim = Math.floor(headDim * fraction);
  if (rotaryDim < 2 || rotaryDim % 2 !== 0) {
    throw (inside ? holder : text)
      .error(
        "partial_rotary_factor",
        `a fraction that leaves an even part of head_dim (${headDim})`,
      );
  }
  return Object.freeze({ heads, kvHeads, headDim, rotaryDim, outputGate: true });
}

function parseDelta(text: Fields): DeltaConfig {
  const keyHeads = text.integer("linear_num_key_heads", { max: 1024 });
  const valueHeads = text.integer("linear_num_value_heads", { max: 1024 });
  if (valueHeads % keyHeads !== 0) {
    throw text.error("linear_num_value_heads", `a multiple of linear_num_key_heads (${keyHeads})`);
  }
  const dimension = { min: 16, max: 128, powerOfTwo: true };
  return Object.freeze({
    keyHeads,
    valueHeads,
    keyDim: text.integer("linear_key_head_dim", dimension),
    valueDim: text.integer("linear_value_head_dim", dimension),
    convKernel: text.integer("linear_conv_kernel_dim", { min: 2, max: 4 }),
  });
}

function parseMoe(text: Fields): MlpConfig {
  const experts = text.integer("num_experts", { max: 4096 });
  return Object.freeze({
    kind: "moe",
    experts,
    topK: text.integer("num_experts_per_tok", { max: Math.min(experts, 32) }),
    dff: text.integer("moe_intermediate_size", { multipleOf: 16 }),
    sharedDff: text.integer("shared_expert_intermediate_size", { multipleOf: 16 }),
  });
}

function parseDense(text: Fields): MlpConfig {
  return Object.freeze({
    kind: "dense",
    dff: text.integer("intermediate_size", { multipleOf: 16 }),
  });
}

function parseMaxPositions(text: Fields, rope: RopeConfig): number {
  const stated = text.integer("max_position_embeddings");
  if (rope.scaling.type === "default") return stated;
  return Math.max(stated, Math.floor(rope.scaling.originalMax * rope.scaling.factor));
}
