"""Runs Hugging Face transformers in float32 over a snapshot and writes what an engine has to reproduce.

    expect.py SNAPSHOT_DIR [--lengths 1,2,63] [--seed N] [--greedy N] [--prompts FILE] [--out FILE]

The snapshot's files are read and dequantised here, not by transformers: its FP8 loader divides odd sizes
into other blocks and computes in bf16. The format of the result is described in README.md.
"""

import argparse
import base64
import json
import pathlib

import numpy
import torch
import transformers
from safetensors import safe_open

BLOCK = 128
TOP = 20


def read_tensors(folder):
    """Every tensor of every shard as float32; FP8 matrices multiplied by their block scales."""
    stored = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as shard:
            stored.update({name: shard.get_tensor(name) for name in shard.keys()})
    suffix = "_scale_inv"
    values = {name: tensor.float() for name, tensor in stored.items() if not name.endswith(suffix)}
    for name in [name for name in stored if name.endswith(suffix)]:
        weight = name.removesuffix(suffix)
        rows, columns = values[weight].shape
        scale = stored[name].float().repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)
        values[weight] = values[weight] * scale[:rows, :columns]
    return values


def text_state(values, text):
    """The state dict of the text-only class: names without the wrapper, experts fused."""
    state = {}
    for name, tensor in values.items():
        if name.startswith(("mtp.", "model.visual.")):
            continue
        state[name.replace("model.language_model.", "model.")] = tensor
    for layer in range(text["num_hidden_layers"]):
        at = f"model.layers.{layer}.mlp.experts."
        if at + "0.gate_proj.weight" not in state:
            continue
        take = lambda e, part: state.pop(f"{at}{e}.{part}_proj.weight")
        count = range(text["num_experts"])
        state[at + "gate_up_proj"] = torch.stack([torch.cat([take(e, "gate"), take(e, "up")]) for e in count])
        state[at + "down_proj"] = torch.stack([take(e, "down") for e in count])
    return state


def load(folder):
    """The model in float32, every parameter taken from the snapshot and nothing left over."""
    config = json.loads((folder / "config.json").read_text())
    text = dict(config.get("text_config", config))
    tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
    text.update(tie_word_embeddings=tied, attn_implementation="eager", dtype="float32")
    moe = "num_experts" in text
    family = transformers.Qwen3_5MoeTextConfig if moe else transformers.Qwen3_5TextConfig
    kind = transformers.Qwen3_5MoeForCausalLM if moe else transformers.Qwen3_5ForCausalLM
    model = kind(family(**text)).float().eval()
    missing, unexpected = model.load_state_dict(text_state(read_tensors(folder), text), strict=False)
    missing = [name for name in missing if not (tied and name == "lm_head.weight")]
    if missing or unexpected:
        raise SystemExit(f"Cannot load {folder}: missing {missing[:3]}, unexpected {list(unexpected)[:3]}")
    model.tie_weights()
    return model


class RouterMargins:
    """Collects, a position, the smallest gap of router logits between rank k and k + 1 over all layers."""

    def __init__(self, model):
        self.top_k = getattr(model.config, "num_experts_per_tok", 0)
        self.smallest = None
        for module in model.modules():
            if type(module).__name__.endswith("TopKRouter"):
                module.register_forward_hook(lambda _, __, output: self.see(output[0]))

    def see(self, logits):
        ranked = logits.sort(dim=-1, descending=True).values
        if self.top_k >= ranked.shape[-1]:
            return
        gap = ranked[:, self.top_k - 1] - ranked[:, self.top_k]
        self.smallest = gap if self.smallest is None else torch.minimum(self.smallest, gap)

    def take(self, rows):
        taken, self.smallest = self.smallest, None
        return torch.full((rows,), float("inf")) if taken is None else taken


def pack(values):
    return base64.b64encode(numpy.asarray(values, dtype="<f4").tobytes()).decode()


@torch.no_grad()
def expect(model, margins, prompt, steps):
    """Scores of one prompt and its greedy continuation, each step a forward pass over everything so far."""
    tokens = list(prompt)
    log_probs = torch.log_softmax(model(torch.tensor([tokens]), use_cache=False).logits[0].double(), -1)
    prompt_margins = margins.take(len(tokens))
    scores = log_probs[:-1].gather(1, torch.tensor(tokens[1:]).view(-1, 1)).flatten()
    last = log_probs[-1]
    top = last.topk(min(TOP, last.shape[0]))
    greedy = {"tokens": [], "logprobs": [], "margins": [], "routerMargins": []}
    for _ in range(steps):
        best = last.topk(2)
        greedy["tokens"].append(best.indices[0].item())
        greedy["logprobs"].append(best.values[0].item())
        greedy["margins"].append((best.values[0] - best.values[1]).item())
        tokens.append(best.indices[0].item())
        last = torch.log_softmax(model(torch.tensor([tokens]), use_cache=False).logits[0, -1].double(), -1)
        greedy["routerMargins"].append(margins.take(len(tokens))[-1].item())
    return {
        "tokens": list(prompt),
        "logprobs": pack(scores),
        "routerMargins": pack(prompt_margins),
        "top": {"tokens": top.indices.tolist(), "logprobs": pack(top.values)},
        "greedy": {name: value if name == "tokens" else pack(value) for name, value in greedy.items()},
    }


def random_prompts(lengths, vocab, seed):
    """Random ids; every third one repeats what stood 20 tokens before, so that there is something to recall."""
    random = torch.Generator().manual_seed(seed)
    prompts = []
    for length in lengths:
        tokens = torch.randint(vocab, (length,), generator=random).tolist()
        prompts.append([tokens[i - 20] if i >= 20 and i % 3 == 0 else token for i, token in enumerate(tokens)])
    return prompts


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("snapshot", type=pathlib.Path)
    parser.add_argument("--lengths", default="1,2,63,64,65")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--greedy", type=int, default=16)
    parser.add_argument("--prompts", type=pathlib.Path, help="JSON: a list of lists of token ids")
    parser.add_argument("--out", type=pathlib.Path)
    options = parser.parse_args()
    torch.manual_seed(0)
    model = load(options.snapshot)
    margins = RouterMargins(model)
    lengths = [int(length) for length in options.lengths.split(",")]
    prompts = random_prompts(lengths, model.config.vocab_size, options.seed)
    if options.prompts:
        prompts = json.loads(options.prompts.read_text())
    cases = [expect(model, margins, prompt, options.greedy) for prompt in prompts]
    made_by = f"transformers {transformers.__version__}, torch {torch.__version__.split('+')[0]}, float32"
    lines = [json.dumps(line) for line in [{"madeBy": made_by}, *cases]]
    (options.out or options.snapshot / "expect.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
