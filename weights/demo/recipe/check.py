"""Compares this recipe's model with transformers' on the same random weights and inputs."""

import os

os.environ["CUDA_VISIBLE_DEVICES"] = ""
import torch
from transformers import Qwen3_5MoeConfig, Qwen3_5MoeForConditionalGeneration

from data import rope_positions
from model import Demo
from train import load_config


def reference(config, state):
    """transformers' model in float32 with these weights; the MTP block is not part of it."""
    other = Qwen3_5MoeForConditionalGeneration(Qwen3_5MoeConfig(**config)).float().eval()
    kept = {k: v for k, v in state.items() if not k.startswith("mtp.")}
    other.load_state_dict(kept, strict=True)
    return other


def rough(model):
    """Random weights large enough that every path shows in the logits."""
    torch.manual_seed(1)
    for name, p in model.named_parameters():
        p.data += torch.randn_like(p) * (0.1 if p.dim() == 1 else 0.05)


@torch.no_grad()
def main():
    config = load_config()
    model = Demo(config).eval()
    rough(model)
    other = reference(config, model.state_dict())
    pad, start, end = (config[k] for k in ("image_token_id", "vision_start_token_id", "vision_end_token_id"))
    grids = [(6, 4), (4, 10)]
    ids = [7, 8, 9, start, *[pad] * 6, end, 11, start, *[pad] * 10, end, *range(20, 120)]
    ids += [3] * (-len(ids) % 64)
    patches = torch.rand(sum(h * w for h, w in grids), 1536) * 2 - 1
    tokens, place = torch.tensor([ids]), torch.arange(len(ids))[None]
    positions = torch.from_numpy(rope_positions(ids, grids))[:, None]
    hidden = model(model.embed(tokens, (patches, grids)), model.sequence(place, positions))
    mine = model.lm_head(hidden)
    kinds = torch.tensor([[int(i == pad) for i in ids]])
    theirs = other(
        input_ids=tokens, pixel_values=patches, image_grid_thw=torch.tensor([[1, h, w] for h, w in grids]), mm_token_type_ids=kinds
    ).logits
    off = (mine - theirs).abs().max() / theirs.std()
    print(f"largest difference {off:.2e} of the logits' deviation {theirs.std():.3f}")
    assert off < 1e-4


if __name__ == "__main__":
    main()
