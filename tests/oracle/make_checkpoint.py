"""Writes a random snapshot of the Qwen3.5 family in one of the layouts that its publisher uses.

    make_checkpoint.py CONFIG.json OUT_DIR [--layout fp8|bf16|split] [--seed N] [--shards N] [--narrow]

CONFIG.json is a Hugging Face config.json: the wrapping form (`qwen3_5_moe`, `qwen3_5`; tensors under
`model.language_model.`) or a bare text model (`*_text`; tensors under `model.`). `fp8` splits the experts
into 2-D matrices with BF16 block scales, `bf16` fuses them into 3-D tensors, `split` is BF16 with 2-D experts,
as transformers' own `save_pretrained` writes them. `--narrow` stores A_log and the
DeltaNet norm as BF16, as Qwen3.6 does, in place of F32.

Scales are chosen so that the model is worth comparing: every layer changes the residual stream, routing has
clear winners, some DeltaNet heads forget within a token and others keep hundreds, and logits have a spread
of about 2.5 so that greedy choices have margins.
"""

import argparse
import json
import pathlib

import torch
from safetensors.torch import save_file

BLOCK = 128


class Maker:
    """Collects named tensors; equal seeds give equal bytes."""

    def __init__(self, layout, seed, narrow_vectors):
        self.layout = layout
        self.narrow = narrow_vectors
        self.random = torch.Generator().manual_seed(seed)
        self.tensors = {}

    def normal(self, shape, std):
        return torch.randn(shape, generator=self.random) * std

    def uniform(self, shape, low, high):
        return torch.rand(shape, generator=self.random) * (high - low) + low

    def put(self, name, values, dtype=torch.bfloat16):
        self.tensors[name] = values.to(dtype).contiguous()

    def put_f32(self, name, values):
        self.put(name, values, torch.bfloat16 if self.narrow else torch.float32)

    def matrix(self, name, rows, columns, gain=1.0):
        """A weight [rows, columns] whose outputs have `gain` times the rms of its inputs."""
        values = self.normal((rows, columns), gain / columns**0.5)
        if self.layout != "fp8":
            return self.put(name, values)
        codes, scales = quantise(values)
        self.tensors[name] = codes
        self.tensors[name + "_scale_inv"] = scales


def quantise(values):
    """F8_E4M3 codes and BF16 scales of 128 x 128 blocks: value = code * scale."""
    rows, columns = values.shape
    padded = torch.zeros(-(-rows // BLOCK) * BLOCK, -(-columns // BLOCK) * BLOCK)
    padded[:rows, :columns] = values
    blocks = padded.view(padded.shape[0] // BLOCK, BLOCK, padded.shape[1] // BLOCK, BLOCK)
    scales = (blocks.abs().amax(dim=(1, 3)) / 448).to(torch.bfloat16)
    codes = (blocks / scales.float()[:, None, :, None]).clamp(-448, 448)
    codes = codes.reshape(padded.shape)[:rows, :columns].contiguous()
    return codes.to(torch.float8_e4m3fn), scales


def delta_net(maker, at, c):
    keys = c["linear_num_key_heads"] * c["linear_key_head_dim"]
    heads = c["linear_num_value_heads"]
    values = heads * c["linear_value_head_dim"]
    hidden = c["hidden_size"]
    maker.matrix(at + "in_proj_qkv.weight", 2 * keys + values, hidden)
    maker.matrix(at + "in_proj_z.weight", values, hidden)
    maker.put(at + "in_proj_b.weight", maker.normal((heads, hidden), 1.5 / hidden**0.5))
    maker.put(at + "in_proj_a.weight", maker.normal((heads, hidden), 1 / hidden**0.5))
    kernel = c.get("linear_conv_kernel_dim", 4)
    maker.put(at + "conv1d.weight", maker.normal((2 * keys + values, 1, kernel), 0.7))
    maker.put_f32(at + "A_log", maker.uniform((heads,), -5, 2))
    maker.put(at + "dt_bias", maker.uniform((heads,), -4, 1))
    maker.put_f32(at + "norm.weight", 1 + maker.normal((c["linear_value_head_dim"],), 0.2))
    maker.matrix(at + "out_proj.weight", hidden, values, 1.5)


def attention(maker, at, c):
    hidden, heads, size = c["hidden_size"], c["num_attention_heads"], c["head_dim"]
    kv = c["num_key_value_heads"] * size
    maker.matrix(at + "q_proj.weight", 2 * heads * size, hidden)
    maker.matrix(at + "k_proj.weight", kv, hidden)
    maker.matrix(at + "v_proj.weight", kv, hidden)
    maker.matrix(at + "o_proj.weight", hidden, heads * size, 3.0)
    maker.put(at + "q_norm.weight", 0.5 + maker.normal((size,), 0.2))
    maker.put(at + "k_norm.weight", 0.3 + maker.normal((size,), 0.2))


def swiglu(maker, at, hidden, width, gain):
    maker.matrix(at + "gate_proj.weight", width, hidden)
    maker.matrix(at + "up_proj.weight", width, hidden)
    maker.matrix(at + "down_proj.weight", hidden, width, gain)


def experts(maker, at, c):
    hidden, width, count = c["hidden_size"], c["moe_intermediate_size"], c["num_experts"]
    if maker.layout != "bf16":
        for expert in range(count):
            swiglu(maker, f"{at}{expert}.", hidden, width, 2.0)
        return
    maker.put(at + "gate_up_proj", maker.normal((count, 2 * width, hidden), 1 / hidden**0.5))
    maker.put(at + "down_proj", maker.normal((count, hidden, width), 2.0 / width**0.5))


def mlp(maker, at, c):
    hidden = c["hidden_size"]
    if "num_experts" not in c:
        return swiglu(maker, at, hidden, c["intermediate_size"], 2.0)
    maker.put(at + "gate.weight", maker.normal((c["num_experts"], hidden), 2 / hidden**0.5))
    experts(maker, at + "experts.", c)
    swiglu(maker, at + "shared_expert.", hidden, c["shared_expert_intermediate_size"], 1.5)
    maker.put(at + "shared_expert_gate.weight", maker.normal((1, hidden), 1 / hidden**0.5))


def layer_types(c):
    interval = c.get("full_attention_interval", 4)
    kinds = ["linear_attention", "full_attention"]
    default = [kinds[(i + 1) % interval == 0] for i in range(c["num_hidden_layers"])]
    return c.get("layer_types") or default


def make(config, layout, seed, narrow_vectors=False):
    """All tensors of the text model, plus two of the kinds that a text engine must skip."""
    text = config.get("text_config", config)
    prefix = "model.language_model." if "text_config" in config else "model."
    tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
    hidden, vocab = text["hidden_size"], text["vocab_size"]
    maker = Maker(layout, seed, narrow_vectors)
    maker.put(prefix + "embed_tokens.weight", maker.normal((vocab, hidden), 2.5 / hidden**0.5 if tied else 1.0))
    for index, kind in enumerate(layer_types(text)):
        at = f"{prefix}layers.{index}."
        maker.put(at + "input_layernorm.weight", maker.normal((hidden,), 0.2))
        if kind == "linear_attention":
            delta_net(maker, at + "linear_attn.", text)
        else:
            attention(maker, at + "self_attn.", text)
        maker.put(at + "post_attention_layernorm.weight", maker.normal((hidden,), 0.2))
        mlp(maker, at + "mlp.", text)
    maker.put(prefix + "norm.weight", maker.normal((hidden,), 0.2))
    if not tied:
        maker.put("lm_head.weight", maker.normal((vocab, hidden), 2.5 / hidden**0.5))
    if "text_config" in config:
        maker.put("mtp.norm.weight", maker.normal((hidden,), 0.2))
        maker.put("model.visual.pos_embed.weight", maker.normal((4, 8), 0.2))
    return maker.tensors


def write(out, config, tensors, shards):
    """config.json and `shards` safetensors files; one shard goes without an index, as small models do."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    if shards == 1:
        return save_file(tensors, out / "model.safetensors", {"format": "pt"})
    names = list(tensors)
    weight_map = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = names[shard * len(names) // shards : (shard + 1) * len(names) // shards]
        save_file({name: tensors[name] for name in part}, out / file, {"format": "pt"})
        weight_map.update({name: file for name in part})
    total = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (out / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--layout", choices=["fp8", "bf16", "split"], default="fp8")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--narrow", action="store_true", help="BF16 A_log and DeltaNet norm")
    options = parser.parse_args()
    config = json.loads(options.config.read_text())
    tensors = make(config, options.layout, options.seed, options.narrow)
    write(options.out, config, tensors, options.shards)


if __name__ == "__main__":
    main()
