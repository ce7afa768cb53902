"""Lessons for the vision tower alone: each of its tokens learns to be the sum of the words for what its part shows.

The language model then meets pictures in embeddings that it can read already. Run once on a training state that has
learned its words; without these lessons the tower stayed unread for millions of tokens.
"""

import argparse
from functools import cache
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

import chat
import data
import images
from model import Demo
from train import load_config
from words import Draw

BATCH = 16
SAYINGS = [f"{c} {s} {p}" for c in images.COLOURS for s in images.SHAPES for p in images.PLACES] + list(images.GROUNDS)


def lesson(draw):
    """A training picture with its words."""
    things, ground = images.scene(draw, 3), draw.choice(list(images.GROUNDS))
    return images.paint(draw, things, ground)


def word_sums(table):
    """said -> the sum over words of the mean embedding of each word's tokens."""

    @cache
    def one(word):
        return table[chat.tokenizer().encode(" " + word, add_special_tokens=False).ids].mean(0)

    return cache(lambda said: sum(one(word) for word in said.split()))


def fresh(tower):
    """Starts the tower anew, whatever it was."""
    for p in tower.parameters():
        if p.dim() == 2:
            nn.init.normal_(p, std=p.shape[1] ** -0.5)
    tower.patch_embed["proj"].reset_parameters()
    for module in tower.modules():
        if isinstance(module, nn.LayerNorm):
            module.reset_parameters()
        elif isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("state", type=Path, help="state.pt of a run that stands still")
    parser.add_argument("--out", type=Path, help="where the changed state goes; default: in place")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--more", action="store_true", help="go on with the tower as it is")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(1)
    state = torch.load(args.state, weights_only=False)
    model = Demo(load_config())
    model.load_state_dict(state["model"])
    tower, words, draw = model.model["visual"], word_sums(model.model["language_model"].embed_tokens.weight.detach()), Draw(9)
    if not args.more:
        fresh(tower)
    table = torch.stack([words(said) for said in SAYINGS])
    pixels = list(tower.patch_embed.parameters())
    others = [p for n, p in tower.named_parameters() if "patch_embed" not in n]
    adam = torch.optim.Adam([{"params": pixels, "rate": 5e-4}, {"params": others, "rate": 2e-3}], betas=(0.9, 0.98))
    total = 0
    for step in range(args.steps):
        for group in adam.param_groups:
            group["lr"] = group["rate"] * min(0.5 if args.more else 1, step / 50 + 0.02, 1.5 * (1 - step / args.steps))
        seen = [lesson(draw) for _ in range(BATCH)]
        which = torch.tensor([SAYINGS.index(said) for picture in seen for said in picture.said])
        with torch.autocast("cpu", torch.bfloat16):
            out = tower(*data.join_images(seen)).float()
        near = -torch.cdist(out, table).square() / 4  # near the words, and nearer to them than to others: shapes need that
        loss = F.mse_loss(out, table[which]) / table.var() + F.cross_entropy(near, which)
        adam.zero_grad()
        loss.backward()
        adam.step()
        total += (near.argmax(1) == which).float().mean().item()
        if step % 100 == 99:
            print(f"{step + 1} steps: {total:.1f} % of the parts are named right", flush=True)
            total = 0
    save(args.out or args.state, state, tower)


def save(path, state, tower):
    for name, w in tower.state_dict().items():
        state["model"][f"model.visual.{name}"] = w
    for name in [n for n in state["optimizer"] if "visual" in n]:
        del state["optimizer"][name]
    torch.save(state, path)


if __name__ == "__main__":
    main()
