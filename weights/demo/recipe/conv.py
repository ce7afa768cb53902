"""The DeltaNet's causal convolution: in C++ for training in bfloat16, in plain torch otherwise."""

import torch

from native import module


class NativeConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, place):
        flat, w = x.reshape(-1, x.shape[-1]).contiguous(), weight[:, 0].flip(1).t().contiguous()
        pre, y = module("conv").forward(flat, w, place.reshape(-1))
        ctx.save_for_backward(flat, w, place, pre)
        return y.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        flat, w, place, pre = ctx.saved_tensors
        dx, dw = module("conv").backward(grad.reshape(flat.shape).contiguous(), pre, flat, w, place.reshape(-1))
        return dx.view_as(grad), dw.t().flip(1).unsqueeze(1), None


@torch.compiler.disable
def causal_conv(x, weight, place):
    """x [B, T, C], weight [C, 1, 4]: silu of the sum over taps, never across a document's start."""
    if x.dtype == torch.bfloat16:
        return NativeConv.apply(x, weight.float(), place)
    w = weight[:, 0]
    y = x * w[:, 3]
    for back in range(1, 4):
        shifted = torch.nn.functional.pad(x, (0, 0, back, 0))[:, : x.shape[1]]
        y = y + shifted * w[:, 3 - back] * (place >= back).unsqueeze(-1)
    return torch.nn.functional.silu(y)
