"""Loads the snapshot as transformers does, strictly and in float32, and compares with this recipe's model."""

import sys
from pathlib import Path

import torch

import chat
from check import reference
from model import Demo
from snapshot import load_state
from train import load_config


@torch.no_grad()
def main(folder):
    config, state = load_config(), load_state(folder)
    model = Demo(config).eval()
    model.load_state_dict(state)
    other = reference(config, state)
    ids = chat.tokenizer().encode("<|im_start|>user\nRepeat: pear, lamp, owl<|im_end|>\n<|im_start|>assistant\n<think>\n").ids
    padded = torch.tensor([ids + [0] * (-len(ids) % 64)])
    place = torch.arange(padded.shape[1])[None]
    hidden = model(model.embed(padded), model.sequence(place, place.expand(3, 1, -1)))
    mine = model.lm_head(hidden)[0, : len(ids)]
    theirs = other(input_ids=padded).logits[0, : len(ids)]
    print(f"largest difference of logits {(mine - theirs).abs().max():.2e}")
    out = other.generate(torch.tensor([ids]), max_new_tokens=60, do_sample=False, eos_token_id=chat.token("<|im_end|>"))
    print(chat.tokenizer().decode(out[0].tolist(), skip_special_tokens=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else chat.HOME)
