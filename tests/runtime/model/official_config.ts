/** The fields of Qwen3.5-35B-A3B's config.json that are read, as its publisher sets them. @module */

/** A fresh copy; `top` and `text` replace fields of the two levels. */
export function officialConfig(
  top: Record<string, unknown> = {},
  text: Record<string, unknown> = {},
): Record<string, unknown> {
  return {
    architectures: ["Qwen3_5MoeForConditionalGeneration"],
    model_type: "qwen3_5_moe",
    tie_word_embeddings: false,
    vision_config: { depth: 27 },
    text_config: { ...textConfig(), ...text },
    ...top,
  };
}

function textConfig(): Record<string, unknown> {
  return {
    model_type: "qwen3_5_moe_text",
    hidden_size: 2048,
    num_hidden_layers: 40,
    full_attention_interval: 4,
    num_attention_heads: 16,
    num_key_value_heads: 2,
    head_dim: 256,
    attn_output_gate: true,
    attention_bias: false,
    linear_num_key_heads: 16,
    linear_num_value_heads: 32,
    linear_key_head_dim: 128,
    linear_value_head_dim: 128,
    linear_conv_kernel_dim: 4,
    num_experts: 256,
    num_experts_per_tok: 8,
    moe_intermediate_size: 512,
    shared_expert_intermediate_size: 512,
    hidden_act: "silu",
    rms_norm_eps: 1e-6,
    vocab_size: 248320,
    max_position_embeddings: 262144,
    mtp_num_hidden_layers: 1,
    eos_token_id: 248044,
    rope_parameters: {
      rope_type: "default",
      rope_theta: 10000000,
      partial_rotary_factor: 0.25,
      mrope_interleaved: true,
      mrope_section: [11, 11, 10],
    },
  };
}
