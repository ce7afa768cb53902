"""Rounding to E4M3 with one scale for each block of 128 x 128, as the official FP8 checkpoints store it."""

from contextlib import contextmanager

import torch

KEPT = ("embed_tokens", "lm_head", "mlp.gate.", "shared_expert_gate", "in_proj_a", "in_proj_b", "conv1d", "mtp.fc", "visual")


def is_fp8(name, tensor):
    return tensor.dim() >= 2 and not any(part in name for part in KEPT)


def quantise(w):
    """w [..., N, K] with sides of at most 128 or a multiple -> (E4M3 values, BF16 scales [..., n, k])."""
    n, k = (min(side, 128) for side in w.shape[-2:])
    blocks = w.unflatten(-1, (-1, k)).unflatten(-3, (-1, n))  # [..., N/n, n, K/k, k]
    scale = (blocks.abs().amax((-3, -1)) / 448).clamp(min=1e-12).bfloat16()
    small = (blocks / scale.float()[..., :, None, :, None]).clamp(-448, 448).to(torch.float8_e4m3fn)
    return small.view(w.shape), scale


def dequantise(small, scale):
    n, k = (min(side, 128) for side in small.shape[-2:])
    blocks = small.float().unflatten(-1, (-1, k)).unflatten(-3, (-1, n))
    return (blocks * scale.float()[..., :, None, :, None]).view(small.shape)


def experts_apart(name, tensor):
    """gate and up are scaled on their own, since they are two tensors in the file."""
    return tensor.unflatten(-2, (2, -1)) if "gate_up_proj" in name else tensor


def round_weight(name, w):
    return dequantise(*quantise(experts_apart(name, w))).view_as(w)


@contextmanager
def rounded(model, active=True):
    """Inside, the weights have their stored values; outside, the exact ones that the optimizer moves."""
    exact = {}
    if active:
        with torch.no_grad():
            for name, p in model.named_parameters():
                if is_fp8(name, p):
                    exact[p] = p.data.clone()
                    p.data.copy_(round_weight(name, p.data))
    yield
    with torch.no_grad():
        for p, w in exact.items():
            p.data.copy_(w)
