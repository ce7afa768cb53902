import { assert, assertAlmostEquals, assertEquals, assertThrows } from "@std/assert";
import { ConfigError, parseConfig, parseGenerationConfig } from "../../../runtime/model/config.ts";
import { officialConfig } from "./official_config.ts";

const ROPE = officialConfig().text_config as { rope_parameters: Record<string, unknown> };

function withRope(rope: Record<string, unknown>): Record<string, unknown> {
  return officialConfig({}, { rope_parameters: { ...ROPE.rope_parameters, ...rope } });
}

Deno.test("parseConfig() reads the official 35B file", () => {
  const config = parseConfig(officialConfig());
  const full = config.layerKinds.flatMap((kind, i) => kind === "full" ? [i] : []);
  assertEquals(full, [3, 7, 11, 15, 19, 23, 27, 31, 35, 39]);
  assertEquals(config.layers, 40);
  assertEquals(config.attention, {
    heads: 16,
    kvHeads: 2,
    headDim: 256,
    rotaryDim: 64,
    outputGate: true,
  });
  assertEquals(config.delta, {
    keyHeads: 16,
    valueHeads: 32,
    keyDim: 128,
    valueDim: 128,
    convKernel: 4,
  });
  assertEquals(config.mlp, { kind: "moe", experts: 256, topK: 8, dff: 512, sharedDff: 512 });
  assertEquals([config.hidden, config.vocab, config.maxPositions], [2048, 248320, 262144]);
  assertEquals(config.eosIds, [248044]);
  assertEquals([config.hasVision, config.mtpLayers, config.synthetic], [true, 1, false]);
  assertEquals(config.rope.scaling, { type: "default" });
});

Deno.test("parseConfig() freezes every level", () => {
  const config = parseConfig(officialConfig());
  const parts = [config, config.attention, config.delta, config.mlp, config.rope];
  for (const part of [...parts, config.rope.scaling, config.layerKinds, config.eosIds]) {
    assert(Object.isFrozen(part));
  }
});

Deno.test("parseConfig() takes dense members, bare text models and explicit layer types", () => {
  const text = {
    ...officialConfig({}, { model_type: "qwen3_5_text", intermediate_size: 3584 })
      .text_config as Record<string, unknown>,
    num_hidden_layers: 3,
    layer_types: ["full_attention", "linear_attention", "full_attention"],
    tie_word_embeddings: true,
    eos_token_id: [5, 6],
  };
  const bare = parseConfig(text);
  assertEquals(bare.mlp, { kind: "dense", dff: 3584 });
  assertEquals(bare.layerKinds, ["full", "linear", "full"]);
  assertEquals([bare.tiedEmbeddings, bare.hasVision], [true, false]);
  assertEquals(bare.eosIds, [5, 6]);
  const wrapped = parseConfig({ model_type: "qwen3_5", text_config: text });
  assertEquals(wrapped, bare);
});

Deno.test("parseConfig() lets the outer tie_word_embeddings win", () => {
  const config = officialConfig({ tie_word_embeddings: true }, { tie_word_embeddings: false });
  assertEquals(parseConfig(config).tiedEmbeddings, true);
});

Deno.test("parseConfig() fills in YaRN's defaults and stretches the positions", () => {
  const yarn = { rope_type: "yarn", factor: 4, original_max_position_embeddings: 262144 };
  const config = parseConfig(withRope(yarn));
  assertEquals(config.maxPositions, 1048576);
  assert(config.rope.scaling.type === "yarn");
  assertAlmostEquals(config.rope.scaling.attentionFactor, 1.1386294, 1e-7);
  const { factor, originalMax, betaFast, betaSlow, truncate } = config.rope.scaling;
  assertEquals([factor, originalMax, betaFast, betaSlow, truncate], [4, 262144, 32, 1, true]);
  const given = parseConfig(withRope({ ...yarn, attention_factor: 1.5, beta_fast: 16 }));
  assert(given.rope.scaling.type === "yarn");
  assertEquals([given.rope.scaling.attentionFactor, given.rope.scaling.betaFast], [1.5, 16]);
});

/** [fields of text_config, field named, value shown, a part of what is wanted] */
const UNFIT: readonly (readonly [Record<string, unknown>, string, string, string])[] = [
  [{ hidden_size: 100 }, "hidden_size", "100", "multiple of 16"],
  [{ hidden_size: undefined }, "hidden_size", "missing", "multiple of 16"],
  [{ hidden_size: null }, "hidden_size", "null", "multiple of 16"],
  [{ hidden_size: "2048" }, "hidden_size", '"2048"', "multiple of 16"],
  [{ head_dim: 512 }, "head_dim", "512", "power of two from 16 to 256"],
  [{ head_dim: 96 }, "head_dim", "96", "power of two"],
  [{ linear_key_head_dim: 256 }, "linear_key_head_dim", "256", "from 16 to 128"],
  [{ linear_value_head_dim: 48 }, "linear_value_head_dim", "48", "power of two"],
  [{ linear_num_value_heads: 24 }, "linear_num_value_heads", "24", "(16)"],
  [{ num_key_value_heads: 3 }, "num_key_value_heads", "3", "(16)"],
  [{ linear_conv_kernel_dim: 9 }, "linear_conv_kernel_dim", "9", "from 2 to 4"],
  [{ num_experts_per_tok: 257 }, "num_experts_per_tok", "257", "from 1 to 32"],
  [{ num_experts: 4, num_experts_per_tok: 5 }, "num_experts_per_tok", "5", "from 1 to 4"],
  [{ moe_intermediate_size: 40 }, "moe_intermediate_size", "40", "multiple of 16"],
  [{ hidden_act: "gelu" }, "hidden_act", '"gelu"', '"silu"'],
  [{ attention_bias: true }, "attention_bias", "true", "false"],
  [{ attn_output_gate: false }, "attn_output_gate", "false", "true"],
  [{ layer_types: ["full_attention"] }, "layer_types", '["full_attention"]', "40 entries"],
  [{ rms_norm_eps: 0 }, "rms_norm_eps", "0", "above 0"],
  [{ vocab_size: 1.5 }, "vocab_size", "1.5", "whole number"],
  [{ rope_parameters: undefined }, "rope_parameters", "missing", "an object"],
];

Deno.test("parseConfig() says file, field, found and wanted for every unfit value", () => {
  for (const [fields, field, found, wanted] of UNFIT) {
    const error = assertThrows(
      () => parseConfig(officialConfig({}, fields), "x/config.json"),
      ConfigError,
      wanted,
    );
    assertEquals([error.file, error.field, error.found], [
      "x/config.json",
      `text_config.${field}`,
      found,
    ]);
    assertEquals(error.message.split("\n").length, 1);
  }
});

Deno.test("parseConfig() names unfit fields of the rotary embedding", () => {
  const unfit = [
    [{ rope_theta: undefined }, "rope_theta"],
    [{ rope_type: "longrope" }, "rope_type"],
    [{ rope_type: "yarn", factor: 2 }, "original_max_position_embeddings"],
    [{ partial_rotary_factor: 0.02 }, "partial_rotary_factor"],
    [{ mrope_section: [11, 11] }, "mrope_section"],
    [{ mrope_interleaved: false }, "mrope_interleaved"],
  ] as const;
  for (const [rope, field] of unfit) {
    const error = assertThrows(() => parseConfig(withRope(rope)), ConfigError);
    assertEquals(error.field, `text_config.rope_parameters.${field}`);
  }
});

Deno.test("parseConfig() refuses other models, other quantisations and what is no object", () => {
  assertThrows(() => parseConfig({ model_type: "llama" }), ConfigError, '"llama"');
  assertThrows(() => parseConfig([]), ConfigError, "(top level)");
  assertThrows(() => parseConfig({ model_type: "qwen3_5_moe" }), ConfigError, "text_config");
  const dense = { text_config: { model_type: "qwen3_5_text" }, model_type: "qwen3_5_moe" };
  assertThrows(() => parseConfig(dense), ConfigError, '"qwen3_5_moe_text"');
  const awq = officialConfig({ quantization_config: { quant_method: "awq" } });
  assertThrows(() => parseConfig(awq), ConfigError, "quantization_config.quant_method");
  const block = { quant_method: "fp8", weight_block_size: [64, 64] };
  const blocks = officialConfig({ quantization_config: block });
  assertThrows(() => parseConfig(blocks), ConfigError, "[128,128]");
});

Deno.test("parseGenerationConfig() takes the sampling defaults that are there", () => {
  const json = {
    do_sample: true,
    temperature: 1,
    top_k: 20,
    top_p: 0.95,
    eos_token_id: [248046, 248044],
    pad_token_id: 248044,
    transformers_version: "5.0",
  };
  assertEquals(parseGenerationConfig(json), {
    temperature: 1,
    topK: 20,
    topP: 0.95,
    eosIds: [248046, 248044],
  });
  assertEquals(parseGenerationConfig({ do_sample: false, temperature: 0.6 }), {
    temperature: 0,
    eosIds: [],
  });
  assertEquals(parseGenerationConfig({ eos_token_id: 7 }).eosIds, [7]);
  const error = assertThrows(() => parseGenerationConfig({ top_p: 1.5 }), ConfigError);
  assertEquals([error.field, error.found], ["top_p", "1.5"]);
});
