/** The config.json of a synthetic snapshot, in the publisher's form. @module */
import type { Member } from "./members.ts";
import { VISION } from "./members.ts";

/** How weights are stored. */
export type SynthFormat = "fp8" | "bf16";

/** What config.json says beyond the member's sizes. */
export interface ConfigChoice {
  readonly format: SynthFormat;
  readonly vocab: number;
  /** Image tower and multi-token-prediction layer are written too. */
  readonly whole: boolean;
}

/** The value of config.json. `synthetic: true` marks it as made here. */
export function configJson(member: Member, choice: ConfigChoice): Record<string, unknown> {
  const moe = member.mlp.kind === "moe";
  const type = moe ? "qwen3_5_moe" : "qwen3_5";
  return {
    architectures: [moe ? "Qwen3_5MoeForConditionalGeneration" : "Qwen3_5ForConditionalGeneration"],
    model_type: type,
    synthetic: true,
    tie_word_embeddings: member.tied,
    text_config: textConfig(member, choice, `${type}_text`),
    ...(choice.whole && member.vision ? { vision_config: visionConfig(member) } : {}),
    ...(choice.format === "fp8"
      ? {
        quantization_config: {
          quant_method: "fp8",
          fmt: "e4m3",
          activation_scheme: "dynamic",
          weight_block_size: [128, 128],
        },
      }
      : {}),
  };
}

function textConfig(
  member: Member,
  { vocab, whole }: ConfigChoice,
  modelType: string,
): Record<string, unknown> {
  const { mlp, headDim = 256, deltaDim = 128 } = member;
  const frequencies = headDim / 8;
  return {
    model_type: modelType,
    dtype: "bfloat16",
    hidden_size: member.hidden,
    num_hidden_layers: member.layers,
    full_attention_interval: 4,
    num_attention_heads: member.heads,
    num_key_value_heads: member.kvHeads,
    head_dim: headDim,
    attn_output_gate: true,
    attention_bias: false,
    linear_num_key_heads: member.deltaKeyHeads,
    linear_num_value_heads: member.deltaValueHeads,
    linear_key_head_dim: deltaDim,
    linear_value_head_dim: deltaDim,
    linear_conv_kernel_dim: 4,
    mamba_ssm_dtype: "float32",
    ...(mlp.kind === "moe"
      ? {
        num_experts: mlp.experts,
        num_experts_per_tok: mlp.topK,
        moe_intermediate_size: mlp.dff,
        shared_expert_intermediate_size: mlp.sharedDff,
      }
      : { intermediate_size: mlp.dff }),
    hidden_act: "silu",
    rms_norm_eps: 1e-6,
    vocab_size: vocab,
    max_position_embeddings: 262_144,
    mtp_num_hidden_layers: whole ? 1 : 0,
    tie_word_embeddings: member.tied,
    rope_parameters: {
      rope_type: "default",
      rope_theta: 10_000_000,
      partial_rotary_factor: 0.25,
      mrope_interleaved: true,
      mrope_section: [0, 1, 2].map((axis) => Math.ceil((frequencies - axis) / 3)),
    },
  };
}

function visionConfig({ hidden }: Member): Record<string, unknown> {
  return {
    model_type: "qwen3_5_moe",
    depth: VISION.depth,
    hidden_size: VISION.hidden,
    intermediate_size: VISION.inner,
    num_heads: VISION.heads,
    in_channels: 3,
    patch_size: VISION.patch,
    temporal_patch_size: VISION.temporalPatch,
    spatial_merge_size: VISION.merge,
    num_position_embeddings: VISION.positions,
    out_hidden_size: hidden,
    hidden_act: "gelu_pytorch_tanh",
    deepstack_visual_indexes: [],
  };
}
